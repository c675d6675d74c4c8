"""Reads definition files: YAML and JSON documents, checked against the schema."""
