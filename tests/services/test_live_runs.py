"""What is kept of a run, as its gateway tells of it. Pure."""

from typing import Any

import pytest

from kit.clock import now
from models import RunStatus
from services.runs.live import LONGEST_TAIL, Live
from services.runs.tools import MOST_CALLS
from tests.world import a_world, token_of

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


def live() -> Live:
    return Live("run-1", "agent:x:main", "x", now())


def take(run: Live, stream: str, **data: Any) -> None:
    run.take("agent", {"stream": stream, "data": data}, now())


def test_no_token_of_ours_is_in_what_is_kept() -> None:
    token = token_of(a_world().worker)
    run = live()
    take(run, "assistant", text=f"I use {token} for that.")
    assert run.tail == "I use mc_agent_*** for that."
    take(run, "command_output", output="x" * (LONGEST_TAIL - 10) + f" {token} and more")
    assert token[15:] not in run.tail
    assert len(run.tail) <= LONGEST_TAIL
    take(run, "item", **TOOL | {"title": f"Exec curl {token}"}, phase="start")
    take(run, "tool", phase="start", toolCallId="c-1", name="exec", args={"command": token})
    take(run, "tool", phase="start", toolCallId="c-2", name="fetch", args={"key": [token]})
    take(run, "lifecycle", phase="error", error=f"{token} is wrong")
    assert token not in str(run)
    assert run.error == "mc_agent_*** is wrong"


def test_only_the_end_is_kept_and_the_last_calls() -> None:
    run = live()
    take(run, "assistant", text="a" * 50_000 + "the end")
    assert len(run.tail) == LONGEST_TAIL
    assert run.tail.endswith("the end")
    for number in range(30):
        take(run, "item", **TOOL | {"toolCallId": f"c-{number}"}, phase="start")
    assert [call.id for call in run.calls] == [f"c-{number}" for number in range(10, 30)]
    assert len(run.calls) == MOST_CALLS


@pytest.mark.parametrize(
    "said",
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
def test_nothing_that_a_gateway_says_hurts(said: dict[str, Any]) -> None:
    run = live()
    for name in ("agent", "chat", "session.tool", "other"):
        run.take(name, said, now())
    str(run).encode()
    assert "\0" not in str(run.tail)
