"""Pages of notifications, and their texts."""
