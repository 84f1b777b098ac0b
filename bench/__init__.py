"""Benchmarks: programs that measure a running installation. They are not tests."""
