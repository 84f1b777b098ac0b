"""Encrypt secrets, hash tokens and passwords, and verify OpenID tokens."""
