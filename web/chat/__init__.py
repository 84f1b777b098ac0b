"""Pages of a board's chat and notes."""
