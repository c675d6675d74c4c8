"""Users, sessions and API keys in PostgreSQL; ended sessions in Redis; bcrypt."""
