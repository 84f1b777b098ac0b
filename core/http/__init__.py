"""Provide HTTP middleware and helpers shared by the pages and the API."""
