"""Tools built or fetched for tests: Go and Java programs."""
