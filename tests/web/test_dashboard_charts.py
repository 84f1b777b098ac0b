"""The geometry of the charts, and the texts of periods and numbers."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics import Bucket
from web.dashboard import charts
from web.dashboard.charts import MINUS, format_axis_label, format_full_period, format_value
from web.ui.time_format import reader_zone
from web.ui.translation import reader_language

VALUES = st.lists(st.floats(0, 1e7), min_size=1, max_size=40)
NOV_18 = datetime(2025, 11, 18, 23, tzinfo=UTC)


@given(VALUES)
def test_an_axis_contains_all_values_and_has_a_whole_middle(values) -> None:
    top = charts.choose_axis_top(values)
    assert max(values) <= top
    assert top % 2 == 0
    assert top == 2 or top <= 2 * max(values) + 2


def test_an_axis_without_values_ends_at_two() -> None:
    assert charts.choose_axis_top([]) == charts.choose_axis_top([0, 0]) == 2
    assert [charts.choose_axis_top([n]) for n in (3, 8.5, 11, 17, 41)] == [4, 10, 12, 20, 60]


@given(VALUES)
def test_bars_stay_inside_the_chart_and_do_not_overlap(values) -> None:
    top = charts.choose_axis_top(values)
    both = charts.build_bars(values, top) + charts.build_bars(values, top, before=True)
    ordered = sorted(both, key=lambda bar: bar.x)
    for bar in ordered:
        assert 0 <= bar.x <= bar.x + bar.width <= 100.01
        assert bar.y + bar.height == pytest.approx(100, abs=0.02)
    for left, right in pairwise(ordered):
        assert left.x + left.width <= right.x + 0.02


def test_a_value_of_zero_has_no_bar_and_the_last_period_is_open() -> None:
    bars = charts.build_bars([0, 2, 4], 4)
    assert [(bar.value, bar.height, bar.is_open) for bar in bars] == [
        (2, 50, False),
        (4, 100, True),
    ]


def test_bands_are_stacked() -> None:
    lower, upper = charts.build_bands([[1, 2], [1, 0]], 4)
    assert lower == "0,75 100,50 100,100 0,100"
    assert upper == "0,50 100,50 100,50 0,75"
    assert charts.build_bands([], 4) == []
    assert charts.build_bands([[4]], 4) == ["0,0 0,100"]


def test_a_small_line_needs_two_values() -> None:
    assert charts.build_spark_line([]) is None
    assert charts.build_spark_line([1]) is None
    line = charts.build_spark_line([0, 10])
    assert line == charts.SparkLine("M0 32 L96 4", "M0 32 L96 4 L96 36 L0 36Z")
    flat = charts.build_spark_line([3, 3])
    assert flat
    assert flat.line == "M0 32 L96 32"


@given(st.integers(1, 60))
def test_at_most_eight_labels_with_the_last_one(count) -> None:
    labelled = [number for number in range(count) if charts.is_labelled(number, count)]
    assert labelled[-1] == count - 1
    assert len(labelled) <= 8


def test_series_are_aligned_to_their_end() -> None:
    assert charts.align_to_end([1, 2, 3], 2) == [2, 3]
    assert charts.align_to_end([1], 3) == [0, 0, 1]
    assert charts.align_to_end([1], 0) == []


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["18:00", "Tue", "18 Nov", "18 Nov", "Nov", "18 Nov 2025", "Nov 2025"]),
        ("de", ["18:00", "Di", "18. Nov.", "18. Nov.", "Nov", "18. Nov. 2025", "Nov. 2025"]),
        (
            "zh-Hans",
            ["18:00", "周二", "11月18日", "11月18日", "11月", "2025年11月18日", "2025年11月"],
        ),
    ],
)
def test_periods_are_named_in_the_language_of_the_reader(language, expected) -> None:
    """Hours are in the zone of the reader; days, which begin in UTC, have their date in UTC."""
    tokens = reader_language.set(language), reader_zone.set(ZoneInfo("America/New_York"))
    try:
        named = [
            format_axis_label(NOV_18, Bucket.HOUR, 25)[0],
            format_axis_label(NOV_18, Bucket.DAY, 8)[0],
            format_axis_label(NOV_18, Bucket.DAY, 31)[0],
            format_axis_label(NOV_18, Bucket.WEEK, 13)[0],
            format_axis_label(NOV_18, Bucket.MONTH, 13)[0],
            format_full_period(NOV_18, Bucket.DAY),
            format_full_period(NOV_18, Bucket.MONTH),
        ]
    finally:
        reader_language.reset(tokens[0])
        reader_zone.reset(tokens[1])
    assert named == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["1,234.5", "3", "+0.7", f"{MINUS}2", "0"]),
        ("de", ["1.234,5", "3", "+0,7", f"{MINUS}2", "0"]),
    ],
)
def test_numbers_have_at_most_one_decimal(language, expected) -> None:
    token = reader_language.set(language)
    try:
        texts = [format_value(1234.49), format_value(3.0)]
        texts += [format_value(0.7, signed=True), format_value(-2.04, signed=True)]
        texts += [format_value(0, signed=True)]
    finally:
        reader_language.reset(token)
    assert texts == expected
