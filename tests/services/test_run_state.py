"""The state of a run, built from events. Pure."""

from typing import Any

import pytest

from core.clock import now
from models import RunStatus
from services.gateways.runs.run_state import MAX_CALLS, MAX_TAIL_LENGTH, RunState
from tests.support.people_rows import token_secret
from tests.support.world import make_world

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


def make_run() -> RunState:
    return RunState("run-1", "agent:x:main", "x", now())


def apply_agent_event(run: RunState, stream: str, **data: Any) -> None:
    run.apply_event("agent", {"stream": stream, "data": data}, now())


def test_stored_runs_contain_no_tokens() -> None:
    token = token_secret(make_world().worker)
    run = make_run()
    apply_agent_event(run, "assistant", text=f"I use {token} for that.")
    assert run.tail == "I use mc_agent_*** for that."
    apply_agent_event(
        run, "command_output", output="x" * (MAX_TAIL_LENGTH - 10) + f" {token} and more"
    )
    assert token[15:] not in run.tail
    assert len(run.tail) <= MAX_TAIL_LENGTH
    apply_agent_event(run, "item", **TOOL | {"title": f"Exec curl {token}"}, phase="start")
    apply_agent_event(
        run, "tool", phase="start", toolCallId="c-1", name="exec", args={"command": token}
    )
    apply_agent_event(
        run, "tool", phase="start", toolCallId="c-2", name="fetch", args={"key": [token]}
    )
    apply_agent_event(run, "lifecycle", phase="error", error=f"{token} is wrong")
    assert token not in str(run)
    assert run.error == "mc_agent_*** is wrong"


def test_only_the_end_of_the_output_and_the_last_calls_are_kept() -> None:
    run = make_run()
    apply_agent_event(run, "assistant", text="a" * 50_000 + "the end")
    assert len(run.tail) == MAX_TAIL_LENGTH
    assert run.tail.endswith("the end")
    for number in range(30):
        apply_agent_event(run, "item", **TOOL | {"toolCallId": f"c-{number}"}, phase="start")
    assert [call.id for call in run.calls] == [f"c-{number}" for number in range(10, 30)]
    assert len(run.calls) == MAX_CALLS


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"stream": 7, "data": 7},
        {"stream": "item", "data": {"kind": "tool", "toolCallId": {}, "title": []}},
        {"stream": "lifecycle", "data": {"phase": "start", "startedAt": 1e300}},
        {"stream": "lifecycle", "data": {"phase": [], "terminalReply": 7}},
        {"stream": "assistant", "data": {"text": "\0\ud800"}},
        {"stream": "usage", "data": {"outputTokens": 2**40}},
        {"state": "final", "message": {"content": [7, {"text": 7}]}},
    ],
)
def test_invalid_events_of_a_gateway_do_no_harm(payload: dict[str, Any]) -> None:
    run = make_run()
    for name in ("agent", "chat", "session.tool", "other"):
        run.apply_event(name, payload, now())
    str(run).encode()
    assert "\0" not in str(run.tail)
