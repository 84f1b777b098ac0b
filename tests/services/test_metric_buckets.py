"""The buckets of time into which metrics are divided."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics import RANGES, Bucket, build_timeline
from tests.services.test_metrics import HOUR, NOON

MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


COUNTS = {
    "24h": {25},
    "3d": {4},
    "7d": {8},
    "14d": {15},
    "1m": {31},
    "3m": {13, 14},
    "6m": {26, 27},
    "1y": {12, 13},  # 12 on the last day of a leap year alone
}


@given(at=MOMENTS, range=st.sampled_from(list(RANGES.values())))
def test_buckets_have_no_gaps_and_do_not_overlap(at, range) -> None:
    time = build_timeline(range, at)
    assert time.comparison.end == time.primary.start
    assert time.primary.end == at
    assert time.primary.end - time.primary.start == range.duration
    edges = time.edges
    assert edges == sorted(edges)
    for window in (time.comparison, time.primary):
        assert len(window.bucket_starts) in COUNTS[range.key]
        assert (
            window.bucket_starts[0] <= window.start <= window.bucket_starts[-1] <= window.end + HOUR
        )
        assert window.bucket_starts[-1] <= window.end


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [
        ("24h", datetime(2026, 3, 17, 12), datetime(2026, 3, 18, 12)),
        ("3d", datetime(2026, 3, 15), datetime(2026, 3, 18)),
        ("1m", datetime(2026, 2, 16), datetime(2026, 3, 18)),
        ("3m", datetime(2025, 12, 15), datetime(2026, 3, 16)),
        ("1y", datetime(2025, 3, 1), datetime(2026, 3, 1)),
    ],
)
def test_buckets_begin_on_hours_days_mondays_and_firsts(key, first, last) -> None:
    periods = build_timeline(RANGES[key], NOON).primary.bucket_starts
    assert (periods[0], periods[-1]) == (first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))
    if RANGES[key].bucket is Bucket.WEEK:
        assert {period.weekday() for period in periods} == {0}


def test_the_boundary_of_two_windows_belongs_to_the_later() -> None:
    """C13."""
    time = build_timeline(RANGES["24h"], NOON.replace(minute=0))
    assert time.comparison.bucket_starts[-1] == time.primary.bucket_starts[0] == time.primary.start
    assert len(time.comparison.bucket_starts) == len(time.primary.bucket_starts) == 25
