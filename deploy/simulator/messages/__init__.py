"""The Messages API: requests checked, answers delivered."""
