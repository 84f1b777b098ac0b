"""The pages of skills and packs, for admins."""
