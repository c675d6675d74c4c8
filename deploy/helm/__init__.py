"""The Helm chart, and the schema of its values."""
