"""Keys, certificates and credentials of a local stack."""
