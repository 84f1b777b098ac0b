"""Pages of board groups."""
