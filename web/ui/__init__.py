"""Shared parts of all pages: layout, rendering, forms, formats, icons."""
