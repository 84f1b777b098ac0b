"""Times in responses do not depend on the time zone of the server."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter

from api.framework.fields import Timestamp
from core.json_responses import encode_json, json_time

EXPECTED = b'"2026-11-24T22:28:33.056093"'


@pytest.fixture(autouse=True)
def server_in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in another time zone than UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_times_are_in_utc_in_any_time_zone_of_the_server(zone: timezone) -> None:
    at = datetime(2026, 11, 24, 22, 28, 33, 56093, UTC).astimezone(zone)
    assert encode_json(json_time(at)) == EXPECTED
    model = TypeAdapter(Timestamp)
    assert model.dump_json(at) == EXPECTED
    assert model.dump_json(model.validate_python(json_time(at))) == EXPECTED


def test_times_without_microseconds_have_them_in_responses() -> None:
    at = datetime(2026, 11, 24, 22, 28, 33, tzinfo=UTC)
    assert encode_json(json_time(at)) == b'"2026-11-24T22:28:33.000000"'
