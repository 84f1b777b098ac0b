"""Pages of the user's settings."""
