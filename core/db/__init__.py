"""Connect to PostgreSQL and run queries."""
