"""Finds agents, routes work to them and keeps the books."""

import regopy  # noqa: F401 - before grpc: loaded after it, regopy 1.5.2 loses a kilobyte or two of memory at every question
