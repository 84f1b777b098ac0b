"""Pages of the questions that workers ask people."""
