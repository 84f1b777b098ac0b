"""Pages of souls."""
