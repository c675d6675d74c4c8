"""Definition files: YAML and JSON documents to families of agents, checked against the schema."""
