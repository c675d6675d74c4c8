"""The `agentmesh` command line: a gRPC client of the gateway.

`commands/` has one module for each group of commands. `local/` starts, stops and examines a platform on this machine; only that package
imports code of the platform. Modules that need gRPC are imported late, so that `--help` and completion answer at once.
"""
