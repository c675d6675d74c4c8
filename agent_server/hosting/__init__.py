"""The host: one gRPC server per port, the servicer, and the calls in progress."""
