"""Hosts a shard of the agent definitions: one generic AgentService, one gRPC server per port."""
