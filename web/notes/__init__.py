"""The notes of boards and of board groups."""
