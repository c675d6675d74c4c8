"""Claims of steps by workers."""
