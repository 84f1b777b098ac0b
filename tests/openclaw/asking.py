"""A gateway whose agents ask people, and work while others watch.

What it says was compared with a real one of version 2026.9.6: tests/openclaw/test_real_talk.py.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.openclaw.fake import Refused, running
from tests.openclaw.workshop import Workshop

BY_US = "Mission Control"
MINUTES = 60_000  # milliseconds
Params = dict[str, Any]


def moment(in_minutes: float = 0) -> int:
    return int(time.time() * 1000 + in_minutes * MINUTES)


@dataclass
class Asking(Workshop):
    """What is asked there, what became of it, and which runs go on."""

    approvals: dict[str, Params] = field(default_factory=dict)
    questions: dict[str, Params] = field(default_factory=dict)
    resolutions: dict[str, str] = field(default_factory=dict)  # of questions
    going_on: dict[str, Params] = field(default_factory=dict)  # the run in each session
    ends: dict[str, Params] = field(default_factory=dict)  # what is remembered of runs
    is_closing: bool = False  # it was told to stop: it waits for answers, and tells nothing

    def __post_init__(self) -> None:
        """Take the calls that this is about."""
        super().__post_init__()
        self.methods |= {
            "exec.approval.list": lambda _: self._pending(self.approvals),
            "exec.approval.resolve": self._decide,
            "approval.get": lambda params: {"approval": self._approval(params)},
            "question.list": lambda _: {"questions": self._pending(self.questions)},
            "question.resolve": self._answer_question,
            "question.get": lambda params: {"question": self._question(params)},
            "question.waitAnswer": self._wait_answer,
            "sessions.subscribe": lambda _: {"subscribed": True},
            "sessions.list": lambda _: {"sessions": self._active()},
            "chat.history": self._history,
            "agent.wait": self._wait,
        }

    async def ask(
        self, id: str, command: str, agent: str = "main", *, silently: bool = False, **more: Any
    ) -> None:
        """Let an agent ask whether it may run a command."""
        request = {
            "command": command,
            "cwd": "/agents/work",
            "host": "gateway",
            "warningText": None,
            "resolvedPath": "/usr/bin/rm",
            "agentId": agent,
            "sessionKey": f"agent:{agent}:main",
            "runId": "run-1",
            "toolCallId": "call-1",
            "allowedDecisions": ["allow-once", "deny"],
        }
        times = {"createdAtMs": moment(), "expiresAtMs": moment(30)} | more.pop("times", {})
        row = {"approvalKind": "exec", "id": id, "request": request | more, **times}
        self.approvals[id] = {**row, "status": "pending"}
        if not silently:
            await self.tell("exec.approval.requested", row)

    async def ask_person(self, id: str, *questions: Params, agent: str = "main") -> None:
        """Let an agent ask a person questions."""
        row = {
            "id": id,
            "questions": list(questions),
            "agentId": agent,
            "sessionKey": f"agent:{agent}:main",
            "runId": "run-1",
            "createdAtMs": moment(),
            "expiresAtMs": moment(15),
            "status": "pending",
        }
        self.questions[id] = row
        await self.tell("question.requested", row)

    async def decide(self, id: str, decision: str, by: str = "Somebody's phone") -> None:
        """Let somebody else decide, on the gateway."""
        self._settle(id, decision, by)
        await self._told(id, by)

    async def end(self, id: str, status: str, reason: str) -> None:
        """Let a request end without an answer."""
        self.approvals[id] |= {"status": status, "reason": reason}
        await self._told(id, None)

    def forget(self) -> None:
        """Be started again: what was asked is not known any more."""
        self.approvals.clear()
        self.questions.clear()

    async def run(self, name: str, run_id: str, agent: str, /, **said: Any) -> None:
        """Tell of a run."""
        about = {"runId": run_id, "agentId": agent, "sessionKey": f"agent:{agent}:main"}
        await self.tell(name, {**about, "ts": moment(), **said})

    async def step(self, run_id: str, agent: str, stream: str, **data: Any) -> None:
        """Tell of a step of a run."""
        await self.run("agent", run_id, agent, stream=stream, data=data, isHeartbeat=False)

    def _pending(self, rows: dict[str, Params]) -> list[Params]:
        self._unless_closing()
        pending = [row for row in rows.values() if row["status"] == "pending"]
        names = {"status"} if rows is self.approvals else set()
        return [
            {name: value for name, value in row.items() if name not in names} for row in pending
        ]

    def _approval(self, params: Params) -> Params:
        self._unless_closing()
        found = self.approvals.get(params["id"])
        if found is None:
            raise _over("APPROVAL_NOT_FOUND")
        return found

    def _unless_closing(self) -> None:
        if self.is_closing:
            why = {"reason": "gateway-restarting", "phase": "accepting"}
            raise Refused("UNAVAILABLE", "unavailable during gateway restart", details=why)

    def _decide(self, params: Params) -> Any:
        found = self.approvals.get(params["id"])
        if found is None or found["status"] in ("expired", "cancelled"):
            raise _over("APPROVAL_NOT_FOUND")
        if found["status"] != "pending":
            if found["decision"] != params["decision"]:
                raise _over("APPROVAL_ALREADY_RESOLVED")
            return {"ok": True}
        if params["decision"] not in found["request"]["allowedDecisions"]:
            raise _over("APPROVAL_ALLOW_ALWAYS_UNAVAILABLE")
        self._settle(params["id"], params["decision"], BY_US)
        return {"ok": True}

    def _settle(self, id: str, decision: str, by: str) -> None:
        status = "denied" if decision == "deny" else "allowed"
        resolver = {"kind": "runtime", "id": by}
        self.approvals[id] |= {
            "status": status,
            "decision": decision,
            "reason": "user",
            "resolver": resolver,
        }

    async def _told(self, id: str, by: str | None) -> None:
        row = self.approvals[id]
        said = {"id": id, "decision": row.get("decision", "deny"), "resolvedBy": by}
        await self.tell("exec.approval.resolved", said)

    def _question(self, params: Params) -> Params:
        found = self.questions.get(params["id"])
        if found is None:
            raise _over("QUESTION_NOT_FOUND")
        return found

    def _answer_question(self, params: Params) -> Any:
        found = self._question(params)
        if found["status"] != "pending":
            raise _over("QUESTION_ALREADY_TERMINAL")
        by = {"resolvedBy": params["resolvedBy"]} if "resolvedBy" in params else {}
        if params.get("cancel"):
            found |= {"status": "cancelled", **by}
            return {"status": "cancelled"}
        found |= {"status": "answered", "answers": params["answers"], **by}
        self.resolutions[params["id"]] = params.get("resolutionId", "")
        return {"status": "answered", "answers": params["answers"]}

    def _wait_answer(self, params: Params) -> Any:
        found = self._question(params)
        return {"status": found["status"], "resolutionId": self.resolutions.get(params["id"])}

    def _active(self) -> list[Params]:
        return [
            {"key": key, "agentId": key.split(":")[1], "hasActiveRun": True}
            for key in self.going_on
        ]

    def _history(self, params: Params) -> Any:
        run = self.going_on.get(params["sessionKey"])
        return {"messages": [], **({"inFlightRun": run} if run else {})}

    def _wait(self, params: Params) -> Any:
        return {"runId": params["runId"], **self.ends.get(params["runId"], {"status": "timeout"})}


def _over(reason: str) -> Refused:
    return Refused("INVALID_REQUEST", "not any more", details={"reason": reason})


@asynccontextmanager
async def asking(**how: Any) -> AsyncGenerator[Asking]:
    """Let such a gateway run."""
    async with running(Asking(**how)) as fake:
        assert isinstance(fake, Asking)
        yield fake
