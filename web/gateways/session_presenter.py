"""Transcripts and sessions of a gateway as rows.

Gateways and models send arbitrary values: unexpected ones are shown as text or left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.gateways import (
    SessionList,
    SessionOwner,
    SessionOwners,
    agent_id_of_session_key,
    parse_milliseconds,
)
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

MAX_TEXT_LENGTH = 20_000  # characters of a message
MAX_RESULT_LENGTH = 6_000
MAX_TITLE_LENGTH = 100

TranscriptRow = Mapping[str, Any]


@dataclass
class TranscriptToolCall:
    """A tool call with its arguments and result."""

    name: str
    title: str  # main argument in one line
    arguments: str
    result: str | None = None
    has_failed: bool = False


@dataclass(frozen=True)
class TranscriptMessage:
    """A message of the user (`user`), the agent (`assistant`) or the gateway (`note`)."""

    id: str
    role: str
    text: str
    sent_at: datetime | None
    tool_calls: Sequence[TranscriptToolCall] = field(default_factory=list)
    error: str = ""


def parse_transcript(messages: Sequence[TranscriptRow]) -> list[TranscriptMessage]:
    """Return the messages, oldest first. Results of tools are attached to their calls."""
    calls: dict[str, TranscriptToolCall] = {}
    found = [_parse_message(index, row, calls) for index, row in enumerate(messages)]
    return [one for one in found if one is not None]


def parse_plausible_time(milliseconds: object) -> datetime | None:
    """Return a time of this century; None for another one, which may be in seconds."""
    at = parse_milliseconds(milliseconds)
    return at if at is not None and 2000 <= at.year < 2100 else None


def _parse_message(
    index: int, row: TranscriptRow, calls: dict[str, TranscriptToolCall]
) -> TranscriptMessage | None:
    role, text = row.get("role"), _message_text(row.get("content"))
    finished = calls.get(str(row.get("toolCallId"))) if role == "toolResult" else None
    if finished is not None:
        finished.result = truncate(text, MAX_RESULT_LENGTH)
        finished.has_failed = row.get("isError") is True
        return None
    started = dict(_parse_tool_calls(row.get("content")))
    calls |= started
    error = row.get("errorMessage") if row.get("stopReason") == "error" else ""
    error = error if isinstance(error, str) else ""
    if not (text or started or error):
        return None
    author = role if role in ("user", "assistant") else "note"
    sent_at = parse_plausible_time(row.get("timestamp"))
    return TranscriptMessage(
        _message_id(index, row), author, text, sent_at, list(started.values()), error
    )


def _parse_tool_calls(content: object) -> Iterator[tuple[str, TranscriptToolCall]]:
    for part in _content_parts(content):
        id, name = part.get("id"), part.get("name")
        if part.get("type") == "toolCall" and isinstance(id, str) and isinstance(name, str):
            yield (
                id,
                TranscriptToolCall(
                    name[:MAX_TITLE_LENGTH], *_format_arguments(part.get("arguments"))
                ),
            )


def _format_arguments(arguments: object) -> tuple[str, str]:
    """Return the arguments of a tool call as a title, and in full."""
    values = arguments if isinstance(arguments, dict) else {"": arguments}
    first = next((value for value in values.values() if isinstance(value, str) and value), "")
    title = " ".join(first.split())
    title = title if len(title) <= MAX_TITLE_LENGTH else title[: MAX_TITLE_LENGTH - 1] + "…"
    only_text = len(values) == 1 and first
    whole = first if only_text else json.dumps(arguments, ensure_ascii=False, indent=2)
    return title, truncate(whole, MAX_RESULT_LENGTH)


def _message_text(content: object) -> str:
    if isinstance(content, str):
        return truncate(content.strip(), MAX_TEXT_LENGTH)
    texts = [part.get("text") for part in _content_parts(content) if part.get("type") == "text"]
    return truncate(
        "\n\n".join(text for text in texts if isinstance(text, str)).strip(), MAX_TEXT_LENGTH
    )


def truncate(text: str, limit: int) -> str:
    """Return a text, shortened with a note if it is too long."""
    if len(text) <= limit:
        return text
    rest = format_number(len(text) - limit)
    more = _("… and %(count)s more characters", count=rest)
    return f"{text[:limit]}\n{more}"


def _content_parts(content: object) -> list[TranscriptRow]:
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, dict)]


def _message_id(index: int, row: TranscriptRow) -> str:
    metadata = row.get("__openclaw")
    seq = metadata.get("seq") if isinstance(metadata, dict) else None
    return f"said-{seq}" if isinstance(seq, int) else f"said-at-{index}"


RUNNING = ("working", N_("Working"))
FAILED = ("failed", N_("Failed"))
SESSION_STATES = {"running": RUNNING, "failed": FAILED, "error": FAILED}
IDLE = ("idle", N_("Idle"))
"""Icon and label of a state."""


@dataclass(frozen=True)
class SessionRow:
    """A session: its agent, state, and context usage."""

    key: str
    label: str
    agent_key: str
    owner: SessionOwner | None
    glyph: str
    state: str
    tokens: int | None
    max_tokens: int | None
    input_tokens: int | None
    output_tokens: int | None
    model: str
    provider: str
    channel: str
    updated_at: datetime | None

    @property
    def context_percent(self) -> int | None:
        """Return the usage of the context in percent."""
        if self.tokens is None or not self.max_tokens:
            return None
        return min(100, round(100 * self.tokens / self.max_tokens))

    @property
    def is_hidden(self) -> bool:
        """Return whether the session belongs to an agent whose board the member cannot read."""
        return self.owner is not None and not self.owner.can_read


def build_session_rows(found: SessionList, owners: SessionOwners) -> Sequence[SessionRow]:
    """Return the sessions that have a key, in the order of the gateway: last used first."""
    keyed = [row for row in found.sessions if isinstance(row.get("key"), str)]
    return [build_session_row(row["key"], row, owners) for row in keyed]


def build_session_row(key: str, row: Mapping[str, Any], owners: SessionOwners) -> SessionRow:
    """Return a session as the gateway describes it."""
    glyph, state = (
        RUNNING if row.get("hasActiveRun") is True else _describe_state(row.get("status"))
    )
    return SessionRow(
        key,
        label=_short_text(row.get("label")) or key,
        agent_key=agent_id_of_session_key(key),
        owner=owners.get(agent_id_of_session_key(key)),
        glyph=glyph,
        state=translate(state),
        tokens=_token_count(row.get("totalTokens")),
        max_tokens=_token_count(row.get("contextTokens")),
        input_tokens=_token_count(row.get("inputTokens")),
        output_tokens=_token_count(row.get("outputTokens")),
        model=_short_text(row.get("model")),
        provider=_short_text(row.get("modelProvider")),
        channel=_short_text(row.get("channel")) or _short_text(row.get("lastChannel")),
        updated_at=parse_plausible_time(row.get("updatedAt")),
    )


def _describe_state(status: object) -> tuple[str, str]:
    return SESSION_STATES.get(status, IDLE) if isinstance(status, str) else IDLE


def _token_count(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12
    return value if is_number else None


def _short_text(value: object) -> str:
    return value.strip()[:MAX_TITLE_LENGTH] if isinstance(value, str) else ""
