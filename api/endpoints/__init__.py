"""Handlers of the API, with their request and response models."""
