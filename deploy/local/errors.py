class LaunchError(Exception):
    """The local stack cannot be set up or started. The message says what is wrong and how to mend it, for the person at the screen."""
