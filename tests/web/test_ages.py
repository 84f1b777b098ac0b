"""Times as people read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from web import ages

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STOCKHOLM = ZoneInfo("Europe/Stockholm")


@pytest.fixture(autouse=True)
def noon(monkeypatch) -> None:
    """The clock stands still: it is noon in UTC, and one in Stockholm."""
    monkeypatch.setattr(ages, "now", lambda: NOON)


@pytest.fixture
def in_stockholm():
    """The reader is in Stockholm."""
    token = ages.reader_zone.set(STOCKHOLM)
    yield
    ages.reader_zone.reset(token)


@pytest.mark.parametrize(
    ("passed", "words", "words_ago"),
    [
        (timedelta(seconds=-5), "now", "just now"),
        (timedelta(seconds=59), "now", "just now"),
        (timedelta(minutes=4, seconds=59), "4 min", "4 min ago"),
        (timedelta(hours=2, minutes=59), "2 h", "2 h ago"),
        (timedelta(days=6, hours=23), "6 d", "6 d ago"),
        (timedelta(days=15), "9 Nov", "9 Nov"),
        (timedelta(days=380), "9 Nov 2025", "9 Nov 2025"),
    ],
)
def test_how_long_ago_is_said_for_a_week_and_then_the_date(passed, words, words_ago) -> None:
    assert ages.age(NOON - passed) == words
    assert ages.age(NOON - passed, ago=True) == words_ago


@pytest.mark.parametrize(
    ("left", "words", "over"),
    [
        (timedelta(hours=-11), "Today", False),
        (timedelta(hours=6), "Today", False),
        (timedelta(days=4), "28 Nov", False),
        (timedelta(days=40), "3 Jan 2027", False),
        (timedelta(days=-1), "1 day over", True),
        (timedelta(days=-2), "2 days over", True),
    ],
)
def test_a_deadline_says_how_much_is_left(left, words, over) -> None:
    assert ages.deadline(NOON + left) == words
    assert ages.overdue(NOON + left) is over


def test_what_is_done_is_never_over() -> None:
    assert ages.deadline(NOON - timedelta(days=2), done=True) == "22 Nov"


def test_times_are_those_of_the_reader(in_stockholm) -> None:
    assert ages.absolute(NOON) == "Tue 24 Nov 2026, 13:00 CET"
    assert ages.iso(NOON.astimezone(STOCKHOLM)) == "2026-11-24T12:00:00Z"
    late_in_the_evening = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert ages.day(late_in_the_evening) == "25 Nov"


@pytest.mark.parametrize("name", [None, "", "Mars/Olympus", "../etc/passwd", "Europe", "a\0b"])
def test_an_unknown_time_zone_is_utc(name) -> None:
    assert ages.zone(name) is UTC


@pytest.mark.parametrize(
    ("silent", "every", "words", "share", "over"),
    [
        (120, 600, "2 of 10 min", 20, ""),
        (40, 600, "40 s of 10 min", 100 * 40 / 600, ""),
        (840, 600, "14 of 10 min", 100, "late"),
        (2820, 600, "47 of 10 min", 100, "lost"),
        (90, 30, "1 min of 30 s", 100, "late"),
        (4 * 3600, 10800, "4 of 3 h", 100, "late"),
    ],
)
def test_a_heartbeat_is_measured_against_its_own_cadence(silent, every, words, share, over) -> None:
    assert ages.beat_of(NOON - timedelta(seconds=silent), every) == ages.Beat(words, share, over)


def test_an_agent_that_never_called_has_no_heartbeat() -> None:
    assert ages.beat_of(None) == ages.Beat("No check-in yet", 0)
