"""Token buckets in Redis and in the process."""
