"""The event log on PostgreSQL, and Kafka."""
