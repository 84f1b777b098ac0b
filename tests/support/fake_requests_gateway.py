"""A fake gateway whose agents make requests and have runs.

It sends what a real one of version 2026.9.6 has sent: tests/openclaw/test_real_requests.py and
test_real_exec_approvals.py compare them.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import ErrorResponse, run_fake_gateway
from tests.support.gateway_recordings import load_recording

OUR_NAME = "Mission Control"
MINUTE_MS = 60_000  # milliseconds
Params = dict[str, Any]


class Timestamps:
    """The times of a gateway in milliseconds; each is later than the one before."""

    last = 0


def timestamp_ms(in_minutes: float = 0) -> int:
    """Return the time. Runs that begin one after the other never begin at the same time."""
    Timestamps.last = max(Timestamps.last + 1, int(time.time() * 1000))
    return Timestamps.last + int(in_minutes * MINUTE_MS)


@dataclass
class FakeRequestsGateway(FakeAgentsGateway):
    """The requests, their results, and the active runs."""

    approvals: dict[str, Params] = field(default_factory=dict)
    questions: dict[str, Params] = field(default_factory=dict)
    resolutions: dict[str, str] = field(default_factory=dict)  # of questions
    grants: list[Params] = field(default_factory=list)  # standing grants, the newest first
    active_runs: dict[str, Params] = field(default_factory=dict)  # by session
    ends: dict[str, Params] = field(default_factory=dict)  # the results of runs
    is_closing: bool = False  # stopping: it accepts answers, and lists nothing

    def __post_init__(self) -> None:
        """Register the handlers of requests and runs."""
        super().__post_init__()
        self.handlers |= {
            "exec.approval.list": lambda _: self._pending_approvals("exec"),
            "exec.approval.resolve": self._resolve_approval,
            "exec.approval.grants.list": lambda _: {"grants": self.grants},
            "exec.approval.grants.revoke": self._revoke_grant,
            "plugin.approval.list": lambda _: self._pending_approvals("plugin"),
            "plugin.approval.resolve": self._resolve_approval,
            "approval.get": lambda params: {"approval": self._approval(params)},
            "question.list": lambda _: {"questions": self._pending(self.questions)},
            "question.resolve": self._resolve_question,
            "question.get": lambda params: {"question": self._question(params)},
            "question.waitAnswer": self._wait_answer,
            "sessions.subscribe": lambda _: {"subscribed": True},
            "sessions.list": lambda _: {"sessions": self._list_active_sessions()},
            "chat.history": self._history,
            "agent.wait": self._wait_for_run,
        }

    async def request_approval(
        self, id: str, command: str, agent: str = "main", *, silently: bool = False, **more: Any
    ) -> None:
        """Let an agent request approval of a command."""
        request = load_recording()["requests"]["variables"]["request"] | {
            "command": command,
            "resolvedPath": "/usr/bin/rm",
            "agentId": agent,
            "sessionKey": f"agent:{agent}:main",
            "runId": "run-1",
            "toolCallId": "call-1",
            "turnSourceTo": f"agent:{agent}:main",
            "allowedDecisions": ["allow-once", "deny"],
            "unavailableDecisions": ["allow-always"],
        }
        del request["envKeys"]
        times = {"createdAtMs": timestamp_ms(), "expiresAtMs": timestamp_ms(30)} | more.pop(
            "times", {}
        )
        row = {"approvalKind": "exec", "id": id, "request": request | more, **times}
        self.approvals[id] = {**row, "status": "pending"}
        if not silently:
            await self.send_event("exec.approval.requested", row)

    async def request_plugin_approval(self, id: str, agent: str = "main", **request: Any) -> None:
        """Let a plugin request approval of an action of an agent."""
        about: Params = {"agentId": agent, "sessionKey": f"agent:{agent}:main"}
        about |= {"allowedDecisions": ["allow-once", "allow-always", "deny"]}
        times = {"createdAtMs": timestamp_ms(), "expiresAtMs": timestamp_ms(2)}
        row = {"approvalKind": "plugin", "id": id, "request": about | request, **times}
        self.approvals[id] = {**row, "status": "pending"}
        await self.send_event("plugin.approval.requested", row)

    async def ask_questions(self, id: str, *questions: Params, agent: str = "main") -> None:
        """Let an agent ask questions."""
        row = {
            "id": id,
            "questions": list(questions),
            "agentId": agent,
            "sessionKey": f"agent:{agent}:main",
            "runId": "run-1",
            "createdAtMs": timestamp_ms(),
            "expiresAtMs": timestamp_ms(15),
            "status": "pending",
        }
        self.questions[id] = row
        await self.send_event("question.requested", row)

    async def decide_elsewhere(self, id: str, decision: str, by: str = "Somebody's phone") -> None:
        """Decide a request on the gateway itself."""
        self._record_decision(id, decision, by)
        await self._send_resolved_event(id, by)

    async def end_request(self, id: str, status: str, reason: str) -> None:
        """End a request without an answer."""
        self.approvals[id] |= {"status": status, "reason": reason}
        await self._send_resolved_event(id, None)

    def forget_requests(self) -> None:
        """Simulate a restart: the requests are forgotten."""
        self.approvals.clear()
        self.questions.clear()

    async def send_run_event(self, name: str, run_id: str, agent: str, /, **payload: Any) -> None:
        """Send an event of a run."""
        about = {"runId": run_id, "agentId": agent, "sessionKey": f"agent:{agent}:main"}
        await self.send_event(name, {**about, "ts": timestamp_ms(), **payload})

    async def send_run_step(self, run_id: str, agent: str, stream: str, **data: Any) -> None:
        """Send a step of a run."""
        await self.send_run_event(
            "agent", run_id, agent, stream=stream, data=data, isHeartbeat=False
        )

    def _pending(self, rows: dict[str, Params]) -> list[Params]:
        self._require_open()
        pending = [row for row in rows.values() if row["status"] == "pending"]
        names = {"status"} if rows is self.approvals else set()
        return [
            {name: value for name, value in row.items() if name not in names} for row in pending
        ]

    def _pending_approvals(self, kind: str) -> list[Params]:
        pending = self._pending(self.approvals)
        return [row for row in pending if row["approvalKind"] == kind]

    def _approval(self, params: Params) -> Params:
        self._require_open()
        found = self.approvals.get(params["id"])
        if found is None:
            raise _over_error("APPROVAL_NOT_FOUND")
        return found

    def _require_open(self) -> None:
        if self.is_closing:
            why = {"reason": "gateway-restarting", "phase": "accepting"}
            raise ErrorResponse("UNAVAILABLE", "unavailable during gateway restart", details=why)

    def _resolve_approval(self, params: Params) -> Any:
        found = self.approvals.get(params["id"])
        if found is None or found["status"] in ("expired", "cancelled"):
            raise _over_error("APPROVAL_NOT_FOUND")
        if found["status"] != "pending":
            if found["decision"] != params["decision"]:
                raise _over_error("APPROVAL_ALREADY_RESOLVED")
            return {"ok": True}
        if params["decision"] not in found["request"]["allowedDecisions"]:
            raise _over_error("APPROVAL_ALLOW_ALWAYS_UNAVAILABLE")
        self._record_decision(params["id"], params["decision"], OUR_NAME)
        return {"ok": True}

    def _record_decision(self, id: str, decision: str, by: str) -> None:
        status = "denied" if decision == "deny" else "allowed"
        resolver = {"kind": "runtime", "id": by}
        self.approvals[id] |= {
            "status": status,
            "decision": decision,
            "reason": "user",
            "resolver": resolver,
        }
        scope = self.approvals[id]["request"].get("scope") or {}
        if decision == "allow-always" and scope.get("kind") == "standing-grant":
            self._create_grant(id, scope)

    def _create_grant(self, id: str, scope: Params) -> None:
        request, times = self.approvals[id]["request"], {"createdAtMs": timestamp_ms()}
        grant = load_recording()["grants"][0] | times
        grant |= {"grantId": f"grant-{id}", "mintedByApprovalId": id, "cwd": request["cwd"]}
        grant |= {"agentId": request["agentId"], "cronJobName": scope["automation"]}
        self.grants.insert(0, grant | {"command": scope["command"]})

    def _revoke_grant(self, params: Params) -> Any:
        found = [one for one in self.grants if one["grantId"] == params["grantId"]]
        if not found:
            return {"outcome": "not-found"}
        if found[0]["revokedAtMs"] is not None:
            return {"outcome": "already-revoked"}
        found[0] |= {"revokedAtMs": timestamp_ms(), "revokedBy": OUR_NAME}
        return {"outcome": "revoked"}

    async def _send_resolved_event(self, id: str, by: str | None) -> None:
        row = self.approvals[id]
        payload = {"id": id, "decision": row.get("decision", "deny"), "resolvedBy": by}
        await self.send_event(f"{row['approvalKind']}.approval.resolved", payload)

    def _question(self, params: Params) -> Params:
        found = self.questions.get(params["id"])
        if found is None:
            raise _over_error("QUESTION_NOT_FOUND")
        return found

    def _resolve_question(self, params: Params) -> Any:
        found = self._question(params)
        if found["status"] != "pending":
            raise _over_error("QUESTION_ALREADY_TERMINAL")
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

    def _list_active_sessions(self) -> list[Params]:
        return [
            {"key": key, "agentId": key.split(":")[1], "hasActiveRun": True}
            for key in self.active_runs
        ]

    def _history(self, params: Params) -> Any:
        run = self.active_runs.get(params["sessionKey"])
        return {"messages": [], **({"inFlightRun": run} if run else {})}

    def _wait_for_run(self, params: Params) -> Any:
        return {"runId": params["runId"], **self.ends.get(params["runId"], {"status": "timeout"})}


def _over_error(reason: str) -> ErrorResponse:
    return ErrorResponse("INVALID_REQUEST", "not any more", details={"reason": reason})


@asynccontextmanager
async def run_fake_requests_gateway(**how: Any) -> AsyncGenerator[FakeRequestsGateway]:
    """Run such a gateway."""
    async with run_fake_gateway(FakeRequestsGateway(**how)) as fake:
        assert isinstance(fake, FakeRequestsGateway)
        yield fake
