"""`./run bench`: measure the product next to the limit of its stack."""

from bench.main import main

__all__ = ["main"]
