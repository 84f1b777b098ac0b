"""Pages of the inbox "Needs you": approvals, gateway requests, onboardings."""
