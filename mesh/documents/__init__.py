"""JSON documents and free-form values."""
