"""Pages of approval policies."""
