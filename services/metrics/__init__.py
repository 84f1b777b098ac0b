"""Metrics: the dashboard of throughput, cycle time, errors and work in progress."""

from services.metrics.dashboard import (
    RANGES,
    Bucket,
    Dashboard,
    Kpis,
    SeriesComparison,
    TimeSeries,
    ValuePoint,
    WindowTotals,
    WipPoint,
    load_dashboard,
)

__all__ = [
    "RANGES",
    "Bucket",
    "Dashboard",
    "Kpis",
    "SeriesComparison",
    "TimeSeries",
    "ValuePoint",
    "WindowTotals",
    "WipPoint",
    "load_dashboard",
]
