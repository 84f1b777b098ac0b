"""What was said in a session of a gateway, as it is shown: who, what, and what tools were used.

Gateways and models say what they like: whatever is not as expected is shown as text, or left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LONGEST = 20_000  # characters of one message that are shown
LONGEST_RESULT = 6_000
LONGEST_TITLE = 100
AGES = (946_684_800_000, 4_102_444_800_000)  # milliseconds: times from 2000 to 2100 are believed

Row = Mapping[str, Any]


@dataclass
class ToolCall:
    """A tool that an agent used: with what, and what came of it."""

    name: str
    title: str  # what it was about, in one line
    asked: str
    answer: str | None = None
    has_failed: bool = False


@dataclass(frozen=True)
class Saying:
    """One thing that was said: by `user`, the agent (`assistant`), or the gateway (`note`)."""

    id: str
    by: str
    text: str
    at: datetime | None
    calls: Sequence[ToolCall] = field(default_factory=list)
    trouble: str = ""


def sayings(messages: Sequence[Row]) -> list[Saying]:
    """Return what was said, oldest first. What tools answered is with the calls that asked."""
    calls: dict[str, ToolCall] = {}
    found = [_saying(place, row, calls) for place, row in enumerate(messages)]
    return [one for one in found if one is not None]


def moment(milliseconds: object) -> datetime | None:
    """Return the moment that a gateway tells in milliseconds."""
    is_number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
    if not is_number or not AGES[0] < milliseconds < AGES[1]:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _saying(place: int, row: Row, calls: dict[str, ToolCall]) -> Saying | None:
    role, text = row.get("role"), _text(row.get("content"))
    answered = calls.get(str(row.get("toolCallId"))) if role == "toolResult" else None
    if answered is not None:
        _answer(answered, row, text)
        return None
    asked = dict(_calls(row.get("content")))
    calls |= asked
    trouble = row.get("errorMessage") if row.get("stopReason") == "error" else ""
    trouble = trouble if isinstance(trouble, str) else ""
    if not (text or asked or trouble):
        return None
    by = role if role in ("user", "assistant") else "note"
    at = moment(row.get("timestamp"))
    return Saying(_id(place, row), by, text, at, list(asked.values()), trouble)


def _answer(call: ToolCall, row: Row, text: str) -> None:
    call.answer = cut(text, LONGEST_RESULT)
    call.has_failed = row.get("isError") is True


def _calls(content: object) -> Iterator[tuple[str, ToolCall]]:
    for part in _parts(content):
        id, name = part.get("id"), part.get("name")
        if part.get("type") == "toolCall" and isinstance(id, str) and isinstance(name, str):
            yield id, ToolCall(name[:LONGEST_TITLE], *_asked(part.get("arguments")))


def _asked(arguments: object) -> tuple[str, str]:
    """Return what a tool was asked: in one line, and whole."""
    told = arguments if isinstance(arguments, dict) else {"": arguments}
    first = next((value for value in told.values() if isinstance(value, str) and value), "")
    title = " ".join(first.split())
    title = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
    only_text = len(told) == 1 and first
    whole = first if only_text else json.dumps(arguments, ensure_ascii=False, indent=2)
    return title, cut(whole, LONGEST_RESULT)


def _text(content: object) -> str:
    if isinstance(content, str):
        return cut(content.strip(), LONGEST)
    texts = [part.get("text") for part in _parts(content) if part.get("type") == "text"]
    return cut("\n\n".join(text for text in texts if isinstance(text, str)).strip(), LONGEST)


def cut(text: str, longest: int) -> str:
    """Return a text that is not too long, and says so if it was."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}\n… and {len(text) - longest:,} characters more"


def _parts(content: object) -> list[Row]:
    found = content if isinstance(content, list) else []
    return [part for part in found if isinstance(part, dict)]


def _id(place: int, row: Row) -> str:
    about = row.get("__openclaw")
    seq = about.get("seq") if isinstance(about, dict) else None
    return f"said-{seq}" if isinstance(seq, int) else f"said-at-{place}"
