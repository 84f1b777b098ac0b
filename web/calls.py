"""The first calls of an agent, as lines for a terminal: complete, and for exactly this server."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from models import Agent, Board

TOKEN_VARIABLE = "$MISSION_CONTROL_TOKEN"  # noqa: S105 - stands where the token is not known
SOME_TASK = "TASK_ID"
SOME_AGENT = "AGENT_ID"


@dataclass(frozen=True)
class Call:
    """One thing that an agent does: what it is, and the command that does it."""

    title: str
    about: str
    command: str


@dataclass(frozen=True)
class Desk:
    """Where an agent works: the server, its board, what it may pick up, and who else is there."""

    base_url: str
    board: Board
    agent: Agent
    token: str | None = None  # None when it cannot be shown any more
    task_id: UUID | None = None
    lead: Agent | None = None  # the board's, whoever that is
    worker: Agent | None = None  # another agent, who can be given a task

    def calls(self) -> list[Call]:
        """Return what this agent can do first, in order."""
        own = self._as_lead() if self.agent.is_board_lead else self._as_worker()
        return [*self._hello(), *own]

    def _hello(self) -> Iterator[Call]:
        yield Call(
            "Check in",
            "Do it every few minutes, so that people see that it is there.",
            self._curl("POST", "/heartbeat"),
        )
        yield Call("List its boards", "", self._curl("GET", "/boards"))
        yield Call(
            "List the tasks that nobody has",
            "",
            self._curl("GET", f"{self._board}/tasks?status=inbox&unassigned=true"),
        )

    def _as_worker(self) -> Iterator[Call]:
        moves = not self.board.only_lead_can_change_status
        if moves:
            yield self._move("Claim a task", "The agent has it from then on.", "in_progress")
        yield self._comment("Say what it does", "I have started.")
        if moves:
            yield self._move("Move it to Review", "", "review")
        yield from self._asking()
        if moves and self.lead is None:
            yield self._move("Move it to Done", self._what_done_needs(), "done")

    def _as_lead(self) -> Iterator[Call]:
        yield Call(
            "Write a task",
            "",
            self._curl("POST", f"{self._board}/tasks", {"title": "Look around and report"}),
        )
        given = {"status": "in_progress", "assigned_agent_id": self._worker}
        yield Call("Give a task to a worker", "", self._curl("PATCH", self._task, given))
        yield from self._asking()
        yield self._move("Accept what is in Review", self._what_done_needs(), "done")
        yield self._move("Or give it back", "It returns to whoever did it.", "inbox")

    def _asking(self) -> Iterator[Call]:
        question = {
            "action_type": "task.complete",
            "task_id": str(self.task_id or SOME_TASK),
            "confidence": 90,
            "lead_reasoning": "Everything that was asked for is there.",
        }
        yield Call(
            "Ask for an approval",
            "The question appears under Needs you.",
            self._curl("POST", f"{self._board}/approvals", question),
        )
        yield Call(
            "Read the answer",
            "Its status is pending, approved or rejected. The newest question comes first.",
            self._curl("GET", f"{self._board}/approvals?limit=1"),
        )

    def _move(self, title: str, about: str, status: str) -> Call:
        return Call(title, about, self._curl("PATCH", self._task, {"status": status}))

    def _comment(self, title: str, message: str) -> Call:
        return Call(title, "", self._curl("POST", f"{self._task}/comments", {"message": message}))

    def _what_done_needs(self) -> str:
        asked = self.board.require_approval_for_done
        return "Refused until a person has approved the question." if asked else ""

    @property
    def _board(self) -> str:
        return f"/boards/{self.board.id}"

    @property
    def _task(self) -> str:
        return f"{self._board}/tasks/{self.task_id or SOME_TASK}"

    @property
    def _worker(self) -> str:
        return str(self.worker.id) if self.worker else SOME_AGENT

    def _curl(self, method: str, path: str, body: Mapping[str, object] | None = None) -> str:
        """Write a command. Nothing in it needs to be escaped: it has no quotes of its own."""
        token = self.token or TOKEN_VARIABLE
        parts = [
            f"curl -sS -X {method} '{self.base_url}/api/v1/agent{path}'",
            f'-H "Authorization: Bearer {token}"',
        ]
        if body is not None:
            parts += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body)}'"]
        return " \\\n  ".join(parts)
