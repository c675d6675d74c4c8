"""Hosts a shard of the agents: one generic AgentService on one gRPC server per port."""
