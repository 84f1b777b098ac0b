"""The header Retry-After, from receivers that may send anything."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from core.clock import now
from core.http.outbound import MAX_RETRY_AFTER, parse_retry_after, read_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), (" 7 ", 7), (2.5, 2.5), ("0", 1), ("-5", 1), ("1e9", 86_400), ("inf", 86_400)],
)
def test_seconds_are_limited(value: object, seconds: float) -> None:
    assert parse_retry_after(value) == timedelta(seconds=seconds)


def test_a_date_is_a_delay_from_now() -> None:
    delay = parse_retry_after(format_datetime(now() + timedelta(minutes=10)))
    assert delay is not None
    assert timedelta(minutes=9, seconds=50) < delay <= timedelta(minutes=10)
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == timedelta(seconds=1)
    assert parse_retry_after("Wed, 21 Oct 2099 07:28:00 GMT") == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, "", "soon", "nan", "Wed, 99 Oct 2015 99:99:99 GMT", "0, 0, 0", "9" * 20_000),
        *("Mon, 01 Jan 99999999999 00:00:00 GMT", "(" * 20_000, [], {}),
    ],
)
def test_anything_else_is_ignored(value: object) -> None:
    assert parse_retry_after(value) is None


def test_the_name_of_the_header_has_any_case() -> None:
    assert read_retry_after({"retry-AFTER": "3"}) == timedelta(seconds=3)
    assert read_retry_after({"age": "3"}) is None
