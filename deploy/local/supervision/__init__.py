"""Processes of a stack: started, watched, restarted and stopped."""
