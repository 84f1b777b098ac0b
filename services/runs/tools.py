"""The tools that an agent calls in a run, as they are kept and shown. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.secrets import masked

MOST_CALLS = 20  # that are kept of a run
LONGEST_TITLE = 200  # characters
LONGEST_DETAIL = 1_000

FAILED = ("failed", "error", "blocked")


@dataclass
class Call:
    """One call of a tool. Times are in ISO 8601, as they are kept."""

    id: str
    name: str
    title: str
    started_at: str
    detail: str = ""  # with what it was called: of a command, the command
    status: str = "running"  # or completed, or failed
    ended_at: str | None = None
    error: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not come back yet."""
        return self.status == "running"

    def end(self, data: Mapping[str, Any], at: datetime) -> None:
        """Note that it has come back, and how."""
        self.status = "failed" if data.get("status") in FAILED else "completed"
        self.ended_at = at.isoformat()
        self.error = clean(data.get("error"), LONGEST_TITLE) or None


def call_of(data: Mapping[str, Any], at: datetime) -> Call:
    """Read which tool is called."""
    name = clean(data.get("name"), LONGEST_TITLE) or "tool"
    return Call(
        id=clean(data.get("toolCallId") or data.get("itemId"), LONGEST_TITLE),
        name=name,
        title=clean(data.get("title"), LONGEST_TITLE),
        started_at=at.isoformat(),
    )


def detail_of(args: object) -> str:
    """Say with what a tool is called: of a command the command, else what was given."""
    if not isinstance(args, Mapping):
        return ""
    command = args.get("command")
    if isinstance(command, str):
        return clean(command, LONGEST_DETAIL)
    return clean(json.dumps(args, default=str), LONGEST_DETAIL) if args else ""


def clean(value: object, most: int) -> str:
    """Return a text that can be stored and shown: without secrets, and not too long."""
    if not isinstance(value, str):
        return ""
    text = masked(value).replace("\0", "\ufffd").encode(errors="replace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"
