"""Pages that show why a task, an approval or a message is as it is."""
