"""Pages of organizations: members, invites, first steps."""
