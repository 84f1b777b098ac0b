"""Quiet hours and digests follow the clocks of the user, also when these are changed."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import Digest
from services.notifications.delivery_plans import NotificationSchedule, find_next_local_time

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT: dict[str, Any] = {"quiet_from": time(22), "quiet_until": time(7)}


def berlin(year: int, month: int, day: int, hour: int, minute: int = 0, *, fold: int = 0):
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=fold).astimezone(UTC)


def find(at: datetime, *, is_urgent: bool = False, may_collect: bool = True, **fields: Any):
    schedule = NotificationSchedule(BERLIN, **fields)
    return schedule.find_send_time(at, is_urgent=is_urgent, may_collect=may_collect)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (berlin(2026, 11, 28, 21, 59), berlin(2026, 11, 28, 21, 59)),
        (berlin(2026, 11, 28, 22), berlin(2026, 11, 29, 7)),
        (berlin(2026, 11, 29, 6, 59), berlin(2026, 11, 29, 7)),
        (berlin(2026, 11, 29, 7), berlin(2026, 11, 29, 7)),
        (berlin(2026, 3, 28, 23), berlin(2026, 3, 29, 7)),  # a night with 23 hours
        (berlin(2026, 10, 24, 23), berlin(2026, 10, 25, 7)),  # with 25
    ],
)
def test_quiet_hours_end_in_the_morning(at: datetime, expected: datetime) -> None:
    assert find(at, **NIGHT).at == expected


def test_quiet_hours_during_the_day() -> None:
    noon: dict[str, Any] = {"quiet_from": time(12), "quiet_until": time(13)}
    assert find(berlin(2026, 7, 1, 12, 30), **noon).at == berlin(2026, 7, 1, 13)
    assert find(berlin(2026, 7, 1, 13, 30), **noon).at == berlin(2026, 7, 1, 13, 30)


def test_what_is_urgent_is_sent_in_quiet_hours_if_the_user_wants_it() -> None:
    at = berlin(2026, 11, 28, 23)
    assert find(at, is_urgent=True, **NIGHT).at == berlin(2026, 11, 29, 7)
    assert find(at, is_urgent=True, wakes_for_urgent=True, **NIGHT).at == at
    assert find(at, wakes_for_urgent=True, **NIGHT).at == berlin(2026, 11, 29, 7)


def test_a_daily_digest_is_at_its_time() -> None:
    daily: dict[str, Any] = {"digest": Digest.DAILY, "digest_at": time(8, 30)}
    at = berlin(2026, 11, 28, 8, 30)
    assert find(at, **daily).at == berlin(2026, 11, 29, 8, 30)
    assert find(at - timedelta(seconds=1), **daily).at == at
    assert find(at, **daily).is_digest
    assert not find(at, is_urgent=True, **daily).is_digest
    assert find(at, may_collect=False, **daily).at == at


def test_an_hourly_digest_waits_for_the_end_of_quiet_hours() -> None:
    hourly: dict[str, Any] = {"digest": Digest.HOURLY, **NIGHT}
    assert find(berlin(2026, 11, 28, 20, 5), **hourly).at == berlin(2026, 11, 28, 21)
    assert find(berlin(2026, 11, 28, 21, 5), **hourly).at == berlin(2026, 11, 29, 7)


def test_a_time_that_the_clocks_skip_is_later() -> None:
    at = find_next_local_time(berlin(2026, 3, 29, 1), time(2, 30), BERLIN)
    assert at in (berlin(2026, 3, 29, 3, 30), berlin(2026, 3, 29, 1, 30))
    assert at > berlin(2026, 3, 29, 1)


def test_a_time_that_the_clocks_show_twice_counts_twice() -> None:
    first, second = (berlin(2026, 10, 25, 2, 30, fold=fold) for fold in (0, 1))
    assert find_next_local_time(first - timedelta(hours=1), time(2, 30), BERLIN) == first
    assert find_next_local_time(first, time(2, 30), BERLIN) == second
    assert find(first, quiet_from=time(1), quiet_until=time(2, 45)).at == berlin(
        2026, 10, 25, 2, 45
    )


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.times(),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_the_next_time_is_within_a_day_and_some_hours(at: datetime, local: time, zone: str) -> None:
    after = at.replace(tzinfo=UTC)
    found = find_next_local_time(after, local, ZoneInfo(zone))
    assert after < found <= after + timedelta(hours=26)
