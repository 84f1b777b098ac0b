"""The buffer of turn events, with any number and any content of events."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from core.text import is_storable
from openclaw import GatewayEvent
from services.messages.gateway_turns import (
    MAX_BUFFERED,
    MAX_SESSION_KEY_LENGTH,
    TurnEventBuffer,
    TurnResult,
    parse_turn_event,
)

MESSAGE = UUID("01a212af-2e8a-7107-b348-0cd2347980dd")


REPLY = {"role": "assistant", "content": []}


def ended(
    message_id: object = MESSAGE, session: object = "agent:ada:main", **more: Any
) -> GatewayEvent:
    payload = {"runId": str(message_id), "sessionKey": session, "state": "final", **more}
    return GatewayEvent("chat", payload)


def test_events_of_unknown_turns_do_not_fill_the_memory() -> None:
    buffer = TurnEventBuffer()
    for number in range(3 * MAX_BUFFERED):
        assert buffer.add(ended(uuid4(), f"agent:{number}:main", message=REPLY))
    assert len(buffer.results) == len(buffer.finished_sessions) == MAX_BUFFERED
    assert buffer.overflow_count > 1


def test_an_overflow_is_handled_like_missed_events() -> None:
    buffer = TurnEventBuffer()
    for _ in range(MAX_BUFFERED):
        buffer.add(ended(uuid4(), message=REPLY))
    before = buffer.overflow_count
    buffer.add(ended(MESSAGE, message=REPLY))
    assert buffer.overflow_count == before + 1
    buffer.results = {}
    buffer.add(ended(MESSAGE, message=REPLY))
    assert buffer.overflow_count == before + 1
    assert MESSAGE in buffer.results


@pytest.mark.parametrize(
    "session", [None, 7, {"a": 1}, "\0", "\ud800", "x" * (MAX_SESSION_KEY_LENGTH + 1)]
)
def test_invalid_session_keys_are_ignored(session: object) -> None:
    buffer = TurnEventBuffer()
    assert buffer.add(ended(session=session))
    assert buffer.finished_sessions == set()


def test_run_ids_longer_than_ours_are_ignored() -> None:
    buffer = TurnEventBuffer()
    assert not buffer.add(ended(f"{MESSAGE}.{'7' * 1_000_000}", message=REPLY))
    assert (buffer.results, buffer.unclear) == ({}, set())


def test_the_reason_of_a_failure_is_storable_and_masked() -> None:
    reason = "Wrong \0 \ud800 mc_agent_abcdefgh was refused"
    event = ended(state="error", errorMessage=reason, errorDetail={"a": 1})
    _, result = parse_turn_event(event) or ("", None)
    assert isinstance(result, TurnResult)
    assert is_storable(result.reason)
    assert result.reason.endswith("mc_agent_*** was refused")
