"""gRPC, both sides: the error table, the envelope, servers, channels and interceptors."""
