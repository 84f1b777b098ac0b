"""The state of a run, built from the events of a gateway. Pure functions and values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.security.secrets import mask_tokens
from models import Run, RunStatus
from openclaw.api import parse_milliseconds

MAX_TAIL_LENGTH = 4_000  # characters
MAX_MASKED_LENGTH = 20_000  # characters that are masked before the tail is cut off
MAX_ERROR_LENGTH = 1_000


class RunPhase(StrEnum):
    """The activity of a running run."""

    PREPARING = "preparing"
    THINKING = "thinking"
    WRITING = "writing"
    TOOL = "tool"
    WAITING = "waiting"  # for an answer of a user
    FINISHING = "finishing"


PHASE_OF_LIFECYCLE = {
    "start": RunPhase.PREPARING,
    "model": RunPhase.THINKING,
    "waiting-approval": RunPhase.WAITING,
    "approval-resolved": RunPhase.TOOL,
    "finishing": RunPhase.FINISHING,
}
END_PHASES = ("end", "error")
ASK_USER_TOOL = "ask_user"  # this tool waits for a user

MAX_CALLS = 20  # the latest calls that are kept
MAX_TITLE_LENGTH = 200  # characters
MAX_DETAIL_LENGTH = 1_000

FAILED_STATUSES = ("failed", "error", "blocked")

OPEN_STATUSES = (RunStatus.RUNNING, RunStatus.LOST)
"""The statuses that may still change; the others are final."""


@dataclass
class RunToolCall:
    """A tool call of a run. Times are in ISO 8601, as they are stored."""

    id: str
    name: str
    title: str
    started_at: str
    detail: str = ""  # the arguments; of a command, the command
    status: str = "running"  # or "completed", "failed"
    ended_at: str | None = None
    error: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether the call has not returned."""
        return self.status == "running"

    def finish(self, data: Mapping[str, Any], at: datetime) -> None:
        """Record the result of the call."""
        self.status = "failed" if data.get("status") in FAILED_STATUSES else "completed"
        self.ended_at = at.isoformat()
        self.error = clean_text(data.get("error"), MAX_TITLE_LENGTH) or None


@dataclass
class RunState:
    """The state of a run. `has_urgent_change`: another phase, a new tool call, or the end."""

    run_id: str
    session_key: str
    agent_key: str
    started_at: datetime
    status: RunStatus = RunStatus.RUNNING
    phase: RunPhase | None = None
    calls: list[RunToolCall] = field(default_factory=list)
    tail: str = ""
    tokens: int | None = None
    error: str | None = None
    is_heartbeat: bool = False
    ended_at: datetime | None = None
    has_urgent_change: bool = True
    has_change: bool = True

    @classmethod
    def from_row(cls, row: Run, agent_key: str) -> "RunState":
        """Continue a stored run."""
        return cls(
            run_id=row.run_id,
            session_key=row.session_key,
            agent_key=agent_key,
            started_at=row.started_at,
            phase=RunPhase(row.phase) if row.phase in set(RunPhase) else None,
            calls=[RunToolCall(**call) for call in row.tool_calls],
            tail=row.tail,
            tokens=row.tokens,
            is_heartbeat=row.is_heartbeat,
            has_urgent_change=row.status is RunStatus.LOST,
            has_change=row.status is RunStatus.LOST,
        )

    @property
    def tool(self) -> RunToolCall | None:
        """The tool call that has not returned, the latest one."""
        running = [call for call in self.calls if call.is_running]
        return running[-1] if running and self.status is RunStatus.RUNNING else None

    @property
    def is_running(self) -> bool:
        """Whether the run is running, as far as we know."""
        return self.status is RunStatus.RUNNING

    def apply_event(self, name: str, payload: Mapping[str, Any], at: datetime) -> None:
        """Apply an event of the gateway. Events after the end change nothing."""
        if self.is_running and name in ("agent", "session.tool"):
            self._apply_agent_event(payload, at)
        elif self.is_running and name == "chat":
            self._apply_chat_event(payload, at)

    def finish(self, status: RunStatus, at: datetime, error: str | None = None) -> None:
        """Record the end of the run, and the error, if there was one."""
        self.status, self.ended_at = status, max(at, self.started_at)
        self.error = clean_text(error, MAX_ERROR_LENGTH) or self.error
        self.has_urgent_change = self.has_change = True

    def set_output(self, text: object) -> None:
        """Keep the end of a text that the agent or a command has written.

        Secrets are masked before the text is cut, otherwise half of one could remain.
        """
        if isinstance(text, str) and text.strip():
            self.tail = clean_text(text[-MAX_MASKED_LENGTH:], MAX_MASKED_LENGTH)[-MAX_TAIL_LENGTH:]
            self.has_change = True

    def _apply_agent_event(self, payload: Mapping[str, Any], at: datetime) -> None:
        data = payload.get("data")
        data = data if isinstance(data, Mapping) else {}
        self.is_heartbeat = self.is_heartbeat or payload.get("isHeartbeat") is True
        match payload.get("stream"):
            case "run_status":
                self._enter_phase(RunPhase.PREPARING)
            case "lifecycle":
                self._apply_lifecycle(data, at)
            case "assistant":
                self._enter_phase(RunPhase.WRITING)
                self.set_output(data.get("text"))
            case "item" if data.get("kind") == "tool":
                self._apply_tool_item(data, at)
            case "tool" if data.get("phase") == "start":  # only some gateways send the arguments
                self._find_or_add_call(parse_call(data, at)).detail = call_detail(data.get("args"))
                self.has_change = True
            case "command_output":
                self.set_output(data.get("output"))
            case "usage":
                tokens = data.get("outputTokens")
                if isinstance(tokens, int) and 0 <= tokens < 2**31:
                    self.tokens = max(tokens, self.tokens or 0)
                    self.has_change = True

    def _apply_chat_event(self, payload: Mapping[str, Any], at: datetime) -> None:
        match payload.get("state"):
            case "final":
                self.set_output(message_text(payload.get("message")))
                self.finish(RunStatus.ENDED, at)
            case "error":
                self.finish(RunStatus.FAILED, at, payload.get("errorMessage"))
            case "aborted":
                self.finish(RunStatus.ABORTED, at)

    def _apply_lifecycle(self, data: Mapping[str, Any], at: datetime) -> None:
        phase = str(data.get("phase"))
        started = parse_milliseconds(data.get("startedAt"))
        self.started_at = min(self.started_at, started) if started else self.started_at
        if phase in PHASE_OF_LIFECYCLE:
            self._enter_phase(PHASE_OF_LIFECYCLE[phase])
        elif phase in END_PHASES:
            reply = data.get("terminalReply")
            self.set_output(reply.get("text") if isinstance(reply, Mapping) else None)
            status = RunStatus.ENDED if phase == "end" else RunStatus.FAILED
            is_aborted = data.get("aborted") is True
            ended_at = parse_milliseconds(data.get("endedAt")) or at
            self.finish(RunStatus.ABORTED if is_aborted else status, ended_at, data.get("error"))

    def _apply_tool_item(self, data: Mapping[str, Any], at: datetime) -> None:
        call = self._find_or_add_call(parse_call(data, at))
        phase = data.get("phase")
        if phase == "end":
            call.finish(data, at)
            self._enter_phase(RunPhase.TOOL if self.tool else RunPhase.THINKING)
        elif phase == "start":
            self._enter_phase(RunPhase.WAITING if call.name == ASK_USER_TOOL else RunPhase.TOOL)
        self.has_change = True

    def _find_or_add_call(self, call: RunToolCall) -> RunToolCall:
        """Return the known call with the same id, or add this one."""
        for one in reversed(self.calls):
            if one.id == call.id:
                one.title = call.title or one.title
                return one
        self.calls = [*self.calls, call][-MAX_CALLS:]
        self.has_urgent_change = True
        return call

    def _enter_phase(self, phase: RunPhase) -> None:
        if self.phase is not phase:
            self.phase = phase
            self.has_urgent_change = self.has_change = True


def message_text(message: object) -> str | None:
    """Return the text of a chat message."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str)) or None


def parse_call(data: Mapping[str, Any], at: datetime) -> RunToolCall:
    """Parse the start of a tool call."""
    name = clean_text(data.get("name"), MAX_TITLE_LENGTH) or "tool"
    return RunToolCall(
        id=clean_text(data.get("toolCallId") or data.get("itemId"), MAX_TITLE_LENGTH),
        name=name,
        title=clean_text(data.get("title"), MAX_TITLE_LENGTH),
        started_at=at.isoformat(),
    )


def call_detail(args: object) -> str:
    """Return the arguments of a tool call as text: of a command the command."""
    if not isinstance(args, Mapping):
        return ""
    command = args.get("command")
    if isinstance(command, str):
        return clean_text(command, MAX_DETAIL_LENGTH)
    return clean_text(json.dumps(args, default=str), MAX_DETAIL_LENGTH) if args else ""


def clean_text(value: object, max_length: int) -> str:
    """Return a text that can be stored and shown: masked and truncated."""
    if not isinstance(value, str):
        return ""
    text = mask_tokens(value).replace("\0", "\ufffd").encode(errors="replace").decode()
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"
