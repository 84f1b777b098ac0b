"""Pages of a board's onboarding."""
