"""Metrics: the dashboard of throughput, cycle time, errors and work in progress."""

from services.metrics.dashboard import RANGES, Bucket, Dashboard, load_dashboard

__all__ = ["RANGES", "Bucket", "Dashboard", "load_dashboard"]
