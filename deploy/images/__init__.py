"""The container image: one root file system for the orchestrator, the worker, the agent host, the consumer and their commands.

`python -m deploy.images build FOLDER` makes it in three layers. The Dockerfile runs it in its builder and copies the layers.
"""
