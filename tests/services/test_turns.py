"""What has become of a message, by what a gateway has of its turn. Pure: as a real one said it."""

from typing import Any

import pytest

from openclaw import Event
from services.messages.turns import ENDED, LOST, RUNNING, STOPPED, UNKNOWN, Fate, Turn, fate, told

RUN = "01a212af-2e8a-7107-b348-0cd2347980dd"
UNHEARD = {"status": "timeout"}  # what is said of turns that nobody remembers, and of some that run
HEARD = {"role": "user", "content": "Hello", "idempotencyKey": f"{RUN}:user"}
ANSWERED = {"role": "assistant", "content": [], "__openclaw": {"runId": RUN}}
BROKEN = {"idempotencyKey": f"{RUN}:terminal-error", "content": [{"text": "No credit.\nLook."}]}
FAILED = Turn(Fate.FAILED, "No credit.")


def history(*messages: Any, running: str = "", pending: str = "") -> dict[str, Any]:
    waiting = [{"runId": RUN, "state": pending}] if pending else []
    return {
        "messages": list(messages),
        "pendingInputs": {"items": [{"runId": "another", "state": "interrupted"}, *waiting]},
        **({"inFlightRun": {"runId": running}} if running else {}),
    }


@pytest.mark.parametrize(
    ("has", "waited", "so"),
    [
        (history(), UNHEARD, UNKNOWN),
        (history(HEARD), UNHEARD, ENDED),
        (history(ANSWERED), UNHEARD, ENDED),
        (history(HEARD, BROKEN), UNHEARD, FAILED),
        (history(HEARD), {"status": "ok"}, ENDED),
        (history(), {"status": "ok"}, ENDED),
        (history(HEARD), {"status": "error", "error": "No credit.\nLook."}, FAILED),
        (history(HEARD), {"status": "error", "error": "aborted"}, Turn(Fate.FAILED, STOPPED)),
        (history(HEARD, running=RUN), UNHEARD, RUNNING),
        (history(running="another"), UNHEARD, UNKNOWN),
        (history(), {"status": "pending"}, RUNNING),
        (history(HEARD), {"status": "pending"}, RUNNING),
        (history(pending="queued"), UNHEARD, RUNNING),
        (history(pending="queued"), {"status": "ok"}, RUNNING),
        (history(pending="interrupted"), UNHEARD, LOST),
        ({}, {}, UNKNOWN),
        ({"messages": "none", "pendingInputs": [], "inFlightRun": None}, {}, UNKNOWN),
    ],
)
def test_what_a_session_has_of_a_turn_tells_what_became_of_it(
    has: dict[str, Any], waited: dict[str, Any], so: Turn
) -> None:
    assert fate(has, waited, RUN) == so


@pytest.mark.parametrize(
    ("said", "so"),
    [
        ({"state": "final", "message": {"content": []}}, ENDED),
        ({"state": "final"}, None),
        ({"state": "error", "errorMessage": "No credit.", "errorDetail": {"a": 1}}, FAILED),
        ({"state": "error", "errorMessage": "No credit."}, None),
        ({"state": "aborted", "stopReason": "rpc"}, Turn(Fate.FAILED, STOPPED)),
    ],
)
def test_the_end_of_a_turn_is_told_or_has_to_be_looked_up(
    said: dict[str, Any], so: Turn | None
) -> None:
    assert told(Event("chat", {"runId": RUN, **said})) == (RUN, so)


@pytest.mark.parametrize("state", ["status", "delta", None, 7])
def test_what_else_is_told_of_a_turn_is_no_end(state: object) -> None:
    assert told(Event("chat", {"runId": RUN, "state": state})) is None
    assert told(Event("chat", {"state": "final"})) is None
    assert told(Event("agent", {"runId": RUN, "state": "final"})) is None
