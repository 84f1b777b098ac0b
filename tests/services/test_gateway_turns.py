"""The results of turns, determined from responses that were recorded from a real gateway."""

from typing import Any

import pytest

from openclaw import GatewayEvent
from services.messages.gateway_turns import (
    ENDED,
    LOST,
    RUNNING,
    STOPPED_REASON,
    UNKNOWN,
    TurnResult,
    TurnStatus,
    parse_turn_event,
    turn_result,
)

RUN = "01a212af-2e8a-7107-b348-0cd2347980dd"
TIMEOUT = {"status": "timeout"}  # for unknown turns and for some running ones
INPUT = {"role": "user", "content": "Hello", "idempotencyKey": f"{RUN}:user"}
REPLY = {"role": "assistant", "content": [], "__openclaw": {"runId": RUN}}
ERROR = {"idempotencyKey": f"{RUN}:terminal-error", "content": [{"text": "No credit.\nLook."}]}
FAILED = TurnResult(TurnStatus.FAILED, "No credit.")


def history(*messages: Any, running: str = "", pending: str = "") -> dict[str, Any]:
    waiting = [{"runId": RUN, "state": pending}] if pending else []
    return {
        "messages": list(messages),
        "pendingInputs": {"items": [{"runId": "another", "state": "interrupted"}, *waiting]},
        **({"inFlightRun": {"runId": running}} if running else {}),
    }


@pytest.mark.parametrize(
    ("session", "waited", "expected"),
    [
        (history(), TIMEOUT, UNKNOWN),
        (history(INPUT), TIMEOUT, ENDED),
        (history(REPLY), TIMEOUT, ENDED),
        (history(INPUT, ERROR), TIMEOUT, FAILED),
        (history(INPUT), {"status": "ok"}, ENDED),
        (history(), {"status": "ok"}, ENDED),
        (history(INPUT), {"status": "error", "error": "No credit.\nLook."}, FAILED),
        (
            history(INPUT),
            {"status": "error", "error": "aborted"},
            TurnResult(TurnStatus.FAILED, STOPPED_REASON),
        ),
        (history(INPUT, running=RUN), TIMEOUT, RUNNING),
        (history(running="another"), TIMEOUT, UNKNOWN),
        (history(), {"status": "pending"}, RUNNING),
        (history(INPUT), {"status": "pending"}, RUNNING),
        (history(pending="queued"), TIMEOUT, RUNNING),
        (history(pending="queued"), {"status": "ok"}, RUNNING),
        (history(pending="interrupted"), TIMEOUT, LOST),
        ({}, {}, UNKNOWN),
        ({"messages": "none", "pendingInputs": [], "inFlightRun": None}, {}, UNKNOWN),
    ],
)
def test_the_result_of_a_turn_follows_from_the_session_history(
    session: dict[str, Any], waited: dict[str, Any], expected: TurnResult
) -> None:
    assert turn_result(session, waited, RUN) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"state": "final", "message": {"content": []}}, ENDED),
        ({"state": "final"}, None),
        ({"state": "error", "errorMessage": "No credit.", "errorDetail": {"a": 1}}, FAILED),
        ({"state": "error", "errorMessage": "No credit."}, None),
        ({"state": "aborted", "stopReason": "rpc"}, TurnResult(TurnStatus.FAILED, STOPPED_REASON)),
    ],
)
def test_the_event_of_a_turn_end_has_a_result_or_requires_a_check(
    payload: dict[str, Any], expected: TurnResult | None
) -> None:
    assert parse_turn_event(GatewayEvent("chat", {"runId": RUN, **payload})) == (RUN, expected)


@pytest.mark.parametrize("state", ["status", "delta", None, 7])
def test_other_turn_events_are_ignored(state: object) -> None:
    assert parse_turn_event(GatewayEvent("chat", {"runId": RUN, "state": state})) is None
    assert parse_turn_event(GatewayEvent("chat", {"state": "final"})) is None
    assert parse_turn_event(GatewayEvent("agent", {"runId": RUN, "state": "final"})) is None
