"""A run while it goes on, told by a gateway's events. Pure: no database, no network, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from models import Run, RunStatus
from services.runs.tools import MOST_CALLS, Call, call_of, clean, detail_of

LONGEST_TAIL = 4_000  # characters
LOOKED_AT = 20_000  # characters in which secrets are looked for, before the tail is cut off
LONGEST_ERROR = 1_000
LATEST = 32_503_680_000_000  # ms since 1970: the year 3000


class Phase(StrEnum):
    """What a run is at."""

    PREPARING = "preparing"
    THINKING = "thinking"
    WRITING = "writing"
    TOOL = "tool"
    WAITING = "waiting"  # for a person's answer
    FINISHING = "finishing"


OF_LIFECYCLE = {
    "start": Phase.PREPARING,
    "model": Phase.THINKING,
    "waiting-approval": Phase.WAITING,
    "approval-resolved": Phase.TOOL,
    "finishing": Phase.FINISHING,
}
ENDS = ("end", "error")
ASKS_A_PERSON = "ask_user"  # the tool that waits for people


@dataclass
class Live:
    """What is known of a run so far. `is_news` says that it came into another phase, or ended."""

    run_id: str
    session_key: str
    agent_key: str
    started_at: datetime
    status: RunStatus = RunStatus.RUNNING
    phase: Phase | None = None
    calls: list[Call] = field(default_factory=list)
    tail: str = ""
    tokens: int | None = None
    error: str | None = None
    is_heartbeat: bool = False
    ended_at: datetime | None = None
    is_news: bool = True
    is_changed: bool = True

    @classmethod
    def of(cls, row: Run, agent_key: str) -> "Live":
        """Go on with a run as it was written down."""
        return cls(
            run_id=row.run_id,
            session_key=row.session_key,
            agent_key=agent_key,
            started_at=row.started_at,
            phase=Phase(row.phase) if row.phase in set(Phase) else None,
            calls=[Call(**call) for call in row.tool_calls],
            tail=row.tail,
            tokens=row.tokens,
            is_heartbeat=row.is_heartbeat,
            is_news=row.status is RunStatus.LOST,
            is_changed=row.status is RunStatus.LOST,
        )

    @property
    def tool(self) -> Call | None:
        """The tool that is being called."""
        running = [call for call in self.calls if call.is_running]
        return running[-1] if running and self.status is RunStatus.RUNNING else None

    @property
    def is_running(self) -> bool:
        """Whether it goes on, for all we know."""
        return self.status is RunStatus.RUNNING

    def take(self, name: str, said: Mapping[str, Any], at: datetime) -> None:
        """Take an event of the gateway's. What comes after the end changes nothing."""
        if not self.is_running:
            return
        takes = {"agent": self._agent, "session.tool": self._agent, "chat": self._chat}
        if name in takes:
            takes[name](said, at)

    def end(self, status: RunStatus, at: datetime, error: str | None = None) -> None:
        """Note that it is over, and why if it did not end well."""
        self.status, self.ended_at = status, max(at, self.started_at)
        self.error = clean(error, LONGEST_ERROR) or self.error
        self.is_news = self.is_changed = True

    def say(self, text: object) -> None:
        """Note what the agent has written, or what a command has: the end of it is kept.

        Secrets are masked before anything is cut off, or half of one would be left.
        """
        if isinstance(text, str) and text.strip():
            self.tail = clean(text[-LOOKED_AT:], LOOKED_AT)[-LONGEST_TAIL:]
            self.is_changed = True

    def _agent(self, said: Mapping[str, Any], at: datetime) -> None:
        data = said.get("data")
        data = data if isinstance(data, Mapping) else {}
        self.is_heartbeat = self.is_heartbeat or said.get("isHeartbeat") is True
        takes = {
            "run_status": lambda: self._enter(Phase.PREPARING),
            "lifecycle": lambda: self._lifecycle(data, at),
            "assistant": lambda: self._writes(data),
            "item": lambda: self._item(data, at),
            "tool": lambda: self._tool(data, at),
            "command_output": lambda: self.say(data.get("output")),
            "usage": lambda: self._uses(data.get("outputTokens")),
        }
        stream = str(said.get("stream"))
        if stream in takes:
            takes[stream]()

    def _chat(self, said: Mapping[str, Any], at: datetime) -> None:
        match said.get("state"):
            case "final":
                self.say(text_of(said.get("message")))
                self.end(RunStatus.ENDED, at)
            case "error":
                self.end(RunStatus.FAILED, at, said.get("errorMessage"))
            case "aborted":
                self.end(RunStatus.ABORTED, at)

    def _lifecycle(self, data: Mapping[str, Any], at: datetime) -> None:
        phase = str(data.get("phase"))
        started = moment(data.get("startedAt"))
        self.started_at = min(self.started_at, started) if started else self.started_at
        if phase in OF_LIFECYCLE:
            self._enter(OF_LIFECYCLE[phase])
        elif phase in ENDS:
            reply = data.get("terminalReply")
            self.say(reply.get("text") if isinstance(reply, Mapping) else None)
            well = RunStatus.ENDED if phase == "end" else RunStatus.FAILED
            aborted = data.get("aborted") is True
            ended_at = moment(data.get("endedAt")) or at
            self.end(RunStatus.ABORTED if aborted else well, ended_at, data.get("error"))

    def _writes(self, data: Mapping[str, Any]) -> None:
        self._enter(Phase.WRITING)
        self.say(data.get("text"))

    def _uses(self, tokens: object) -> None:
        if isinstance(tokens, int) and 0 <= tokens < 2**31:
            self.tokens = max(tokens, self.tokens or 0)
            self.is_changed = True

    def _item(self, data: Mapping[str, Any], at: datetime) -> None:
        if data.get("kind") != "tool":
            return
        call = self._known(call_of(data, at))
        phase = data.get("phase")
        if phase == "end":
            call.end(data, at)
            self._enter(Phase.TOOL if self.tool else Phase.THINKING)
        elif phase == "start":
            self._enter(Phase.WAITING if call.name == ASKS_A_PERSON else Phase.TOOL)
        self.is_changed = True

    def _tool(self, data: Mapping[str, Any], at: datetime) -> None:
        """Take what is told of a tool only to some: with what it was called."""
        if data.get("phase") == "start":
            call = self._known(call_of(data, at))
            call.detail = detail_of(data.get("args"))
            self.is_changed = True

    def _known(self, call: Call) -> Call:
        """Return the call that is kept under the same id, or keep this one."""
        for one in reversed(self.calls):
            if one.id == call.id:
                one.title = call.title or one.title
                return one
        self.calls = [*self.calls, call][-MOST_CALLS:]
        self.is_news = True
        return call

    def _enter(self, phase: Phase) -> None:
        if self.phase is not phase:
            self.phase = phase
            self.is_news = self.is_changed = True


def text_of(message: object) -> str | None:
    """Return the text of a message in a conversation."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str)) or None


def moment(value: object) -> datetime | None:
    """Read a moment as gateways tell it: in milliseconds since 1970."""
    if not isinstance(value, int | float) or not 0 < value <= LATEST:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)
