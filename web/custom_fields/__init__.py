"""Pages of custom fields, and their values on the pages of tasks."""
