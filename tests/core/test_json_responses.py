"""Times in responses do not depend on the time zone of the server."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter

from api.framework.fields import Timestamp
from core.json_responses import build_encoder, encode_json, json_time

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


class Published(BaseModel):
    at: Timestamp | None
    owner: UUID | None


def test_an_encoder_converts_fields_that_can_be_null() -> None:
    encode = build_encoder(Published)
    row = SimpleNamespace(at=datetime(2026, 11, 24, 22, 28, 33, 56093, UTC), owner=UUID(int=1))
    assert encode_json(encode(row)) == (
        b'{"at":' + EXPECTED + b',"owner":"00000000-0000-0000-0000-000000000001"}'
    )
    assert encode(SimpleNamespace(at=None, owner=None)) == {"at": None, "owner": None}
