"""Metrics: how the work on somebody's boards goes."""

from services.metrics.dashboard import Dashboard, dashboard
from services.metrics.periods import RANGES, Bucket

__all__ = ["RANGES", "Bucket", "Dashboard", "dashboard"]
