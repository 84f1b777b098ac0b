"""Pages of saved views of boards."""
