"""The event log on PostgreSQL, and its publisher and consumers on Kafka."""
