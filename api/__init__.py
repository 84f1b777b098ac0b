"""The face that programs see: JSON under /api/v1."""
