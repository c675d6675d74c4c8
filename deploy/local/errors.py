class LaunchError(Exception):
    """The local stack cannot be set up or started. The message tells the operator what is wrong and how to fix it."""
