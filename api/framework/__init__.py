"""Infrastructure of the API: operations, authentication, parsing, errors, idempotency."""
