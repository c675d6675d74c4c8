"""Users, sessions and API keys on PostgreSQL; revocations in Redis; bcrypt."""
