"""What a process keeps in its memory for many calls: a short-lived cache, and the tail of a log."""
