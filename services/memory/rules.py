"""What a note may hold, whom it is told to, and who may change it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import Forbidden, Invalid
from kit.values import Check, optional, text, trimmed, words
from models import Actor, Agent, GroupNote, Note
from services.mentions import ALL, tokens
from services.messages import texts

LONGEST_TEXT = 100_000  # characters
LONGEST_SOURCE = 200
LONGEST_TAG = 100
MOST_TAGS = 50

CHAT, BROADCAST = "chat", "broadcast"  # the tags that mean something here
COMMANDS = (texts.PAUSE, texts.RESUME)

_tag = text(LONGEST_TAG)


@dataclass(frozen=True, kw_only=True)
class NoteDraft:
    """A note to be. `source` is a label, and says nothing of who writes."""

    content: str
    tags: Sequence[str] | None = None
    source: str | None = None


def _tags(value: object, field: str) -> list[str]:
    if not isinstance(value, list | tuple) or len(value) > MOST_TAGS:
        reason = f"Tags are a list of at most {MOST_TAGS} texts."
        raise Invalid("tags_invalid", reason, field=field)
    return [_tag(tag, field) for tag in value]


CHECKS: Mapping[str, Check] = {
    "content": words(LONGEST_TEXT),
    "tags": optional(_tags),
    "source": optional(trimmed(LONGEST_SOURCE)),
}
"""The fields of a note that somebody may write, and what each takes."""


def is_chat(tags: Sequence[Any] | None) -> bool:
    """Say whether tags make of a note a message of the chat."""
    return CHAT in (tags or ())


def is_for_all(content: str, tags: Sequence[Any] | None) -> bool:
    """Say whether a note in a group calls every agent of its boards."""
    return BROADCAST in (tags or ()) or ALL in tokens(content)


def command(content: str) -> str | None:
    """Return the command that a line of a board's chat is, if it is one."""
    word = content.strip().lower()
    return word if word in COMMANDS else None


def check_may_command(actor: Actor) -> None:
    """Raise Forbidden for a worker: only people and the lead steer all agents (contract, S14)."""
    if isinstance(actor, Agent) and not actor.is_board_lead:
        reason = f"Only people and the board's lead say {texts.PAUSE} or {texts.RESUME}."
        raise Forbidden("lead_required", reason)


def check_may_change(actor: Actor, note: Note | GroupNote) -> None:
    """Raise Forbidden to an agent that neither wrote a note nor leads.

    People who may change the place where it is kept may change it, whoever wrote it.
    """
    if isinstance(actor, Agent) and not actor.is_board_lead and note.agent_id != actor.id:
        reason = "An agent changes its own notes; those of others, the lead does."
        raise Forbidden("memory_author_required", reason)


def name_of(actor: Actor) -> str:
    """Return how somebody is called where they have written something."""
    return actor.name if isinstance(actor, Agent) else actor.called
