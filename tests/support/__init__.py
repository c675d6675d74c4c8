"""Code shared by test tiers."""
