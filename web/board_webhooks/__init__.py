"""Pages of the incoming webhooks of a board."""
