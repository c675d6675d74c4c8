"""Envoy as the gateway: one port for REST, gRPC and gRPC-Web, from one bootstrap template."""
