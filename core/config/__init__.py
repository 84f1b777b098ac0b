"""Read and validate settings."""
