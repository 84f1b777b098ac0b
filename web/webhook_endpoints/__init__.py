"""The pages of outgoing webhooks, for admins."""
