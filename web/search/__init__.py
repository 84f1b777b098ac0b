"""The search page, and suggestions for the command palette and text boxes."""
