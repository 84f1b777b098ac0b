"""Pages of the activity feed."""
