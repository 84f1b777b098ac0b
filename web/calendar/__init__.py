"""The calendar of a board: its tasks by due date."""
