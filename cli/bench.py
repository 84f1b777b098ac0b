"""`./run bench`: measure the CPU of requests."""

from bench.requests import main

__all__ = ["main"]
