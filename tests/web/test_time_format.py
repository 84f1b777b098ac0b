"""Formats of times."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from web.ui import locale_format, time_format
from web.ui.translation import LANGUAGES, PSEUDO, reader_language

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STOCKHOLM = ZoneInfo("Europe/Stockholm")


@pytest.fixture(autouse=True)
def noon(monkeypatch) -> None:
    """Set the clock to noon in UTC, which is one o'clock in Stockholm."""
    monkeypatch.setattr(time_format, "now", lambda: NOON)


@pytest.fixture
def in_stockholm():
    """The reader is in Stockholm."""
    token = time_format.reader_zone.set(STOCKHOLM)
    yield
    time_format.reader_zone.reset(token)


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
def test_ages_are_relative_for_a_week_and_then_dates(passed, words, words_ago) -> None:
    assert time_format.format_age(NOON - passed) == words
    assert time_format.format_age(NOON - passed, ago=True) == words_ago


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
def test_a_deadline_shows_the_remaining_days(left, words, over) -> None:
    assert time_format.format_deadline(NOON + left) == words
    assert time_format.is_overdue(NOON + left) is over


@pytest.mark.parametrize(
    ("day", "words"), [(22, "1 day over"), (23, "Today"), (24, "25 Nov")], ids=str
)
def test_a_deadline_is_on_the_day_of_the_reader(in_stockholm, day, words) -> None:
    """It is half past midnight in Stockholm, and the day before in UTC."""
    deadline = datetime(2026, 11, day, 23, 30, tzinfo=UTC)
    assert time_format.format_deadline(deadline) == words
    assert time_format.is_overdue(deadline) is ("over" in words)


def test_a_done_task_is_never_overdue() -> None:
    assert time_format.format_deadline(NOON - timedelta(days=2), done=True) == "22 Nov"


def test_times_are_in_the_time_zone_of_the_user(in_stockholm) -> None:
    assert time_format.format_absolute(NOON) == "Tue 24 Nov 2026, 13:00 CET"
    assert time_format.format_iso(NOON.astimezone(STOCKHOLM)) == "2026-11-24T12:00:00Z"
    late_in_the_evening = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert time_format.format_day(late_in_the_evening) == "25 Nov"


@pytest.fixture
def read_in():
    """Set the language of the reader."""
    token = reader_language.set("en")
    yield reader_language.set
    reader_language.reset(token)


@pytest.mark.parametrize(
    ("language", "day", "day_before", "moment"),
    [
        ("en", "24 Nov", "24 Nov 2025", "Tue 24 Nov 2026, 13:00 CET"),
        ("de", "24. Nov.", "24. Nov. 2025", "Di., 24. Nov. 2026, 13:00 CET"),
        ("zh-Hans", "11月24日", "2025年11月24日", "2026年11月24日周二"),
        (PSEUDO, "24 Ñöv", "24 Ñöv 2025", "Ťûé 24 Ñöv 2026"),
    ],
)
def test_dates_are_written_in_the_language_of_the_reader(
    read_in, in_stockholm, language: str, day: str, day_before: str, moment: str
) -> None:
    read_in(language)
    assert time_format.format_day(NOON).startswith(day)
    assert time_format.format_day(NOON - timedelta(days=365)).startswith(day_before)
    assert time_format.format_absolute(NOON).startswith(moment)


@pytest.mark.parametrize("skeleton", locale_format.ENGLISH_DATES)
def test_each_format_of_a_date_exists_in_each_language(read_in, skeleton: str) -> None:
    shown = {}
    for language in LANGUAGES:
        read_in(language)
        shown[language] = locale_format.format_date(NOON, skeleton)
    assert len(set(shown.values())) == len(LANGUAGES)
    assert all("24" in text and ("2026" in text) is ("y" in skeleton) for text in shown.values())


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (0, "0", "0"),
        (1234567, "1,234,567", "1.234.567"),
        (0.125, "0.125", "0,125"),
        (2.0, "2", "2"),
    ],
)
def test_numbers_are_written_in_the_language_of_the_reader(
    read_in, number: float, english: str, german: str
) -> None:
    assert locale_format.format_number(number) == english
    read_in("de")
    assert locale_format.format_number(number) == german


@pytest.mark.parametrize("name", [None, "", "Mars/Olympus", "../etc/passwd", "Europe", "a\0b"])
def test_an_unknown_time_zone_is_utc(name) -> None:
    assert time_format.get_time_zone(name) is UTC


@pytest.mark.parametrize(
    ("silent", "every", "words", "share", "over"),
    [
        (120, 600, "Last seen 2 min ago (expected every 10 min)", 20, ""),
        (40, 600, "Last seen 40 s ago (expected every 10 min)", 100 * 40 / 600, ""),
        (840, 600, "Last seen 14 min ago (expected every 10 min)", 100, "late"),
        (2820, 600, "Last seen 47 min ago (expected every 10 min)", 100, "lost"),
        (90, 30, "Last seen 1 min ago (expected every 30 s)", 100, "late"),
        (4 * 3600, 10800, "Last seen 4 h ago (expected every 3 h)", 100, "late"),
    ],
)
def test_a_heartbeat_is_compared_with_its_own_interval(silent, every, words, share, over) -> None:
    assert time_format.build_heartbeat_meter(
        NOON - timedelta(seconds=silent), every
    ) == time_format.HeartbeatMeter(words, share, over)


def test_an_agent_that_never_called_has_no_heartbeat() -> None:
    assert time_format.build_heartbeat_meter(None) == time_format.HeartbeatMeter(
        "No check-in yet", 0
    )
