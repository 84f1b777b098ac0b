"""Pages of the channels on which a user is notified."""
