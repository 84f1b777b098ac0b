"""Rules for notes: scopes, chat commands, and who may change a note."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.errors import Forbidden
from models import Actor, Agent, Board, BoardGroup, Event, EventType, GroupNote, Note
from services.messages import ALL_MENTION, extract_mentions, templates

CHAT_TAG, BROADCAST_TAG = "chat", "broadcast"  # all other tags have no function
CHAT_COMMANDS = (templates.PAUSE_COMMAND, templates.RESUME_COMMAND)


def is_chat(tags: Sequence[Any] | None) -> bool:
    """Return whether a note with these tags is a chat message."""
    return CHAT_TAG in (tags or ())


def is_broadcast(content: str, tags: Sequence[Any] | None) -> bool:
    """Return whether a note in a group is for all agents of its boards."""
    return BROADCAST_TAG in (tags or ()) or ALL_MENTION in extract_mentions(content)


def parse_command(content: str) -> str | None:
    """Return the command if the content of a chat message is one."""
    command = content.strip().lower()
    return command if command in CHAT_COMMANDS else None


def check_may_command(actor: Actor) -> None:
    """Raise Forbidden unless the actor is a user or the board's lead."""
    if isinstance(actor, Agent) and not actor.is_board_lead:
        commands = " or ".join(CHAT_COMMANDS)
        raise Forbidden(
            "lead_required", f"Only people and the lead of the board can use {commands}."
        )


def check_may_change(actor: Actor, note: Note | GroupNote, *, only_author: bool = False) -> None:
    """Raise Forbidden for an agent that is neither the author of the note nor the lead.

    With `only_author`, not even the lead may. Users with write access to the board or group may
    change all its notes.
    """
    if not isinstance(actor, Agent) or note.agent_id == actor.id:
        return
    if only_author or not actor.is_board_lead:
        reason = (
            "An agent can change its own notes. The lead can also change those of others, except"
            " replies of users."
        )
        raise Forbidden("memory_author_required", reason)


@dataclass(frozen=True)
class MemoryKind:
    """The model and the event types of notes, for boards or for groups."""

    note: type[Note] | type[GroupNote]
    scope_field: str  # the field with the id of the board or group
    created: EventType
    updated: EventType
    deleted: EventType

    @property
    def column(self) -> Any:
        """The column with the id of the board or group."""
        return getattr(self.note, self.scope_field)

    def scope_id_of(self, event: Event) -> UUID | None:
        """Return the id of the board or group of an event."""
        if self.note is Note:
            return event.board_id
        return UUID(event.data["group_id"])

    def matches(self, event: Event, is_chat: bool | None) -> bool:
        """Return whether an event is about a chat message (true), or another note (false).

        None matches any note. If a note was changed from one to the other, the event matches both.
        """
        is_chat_now = event.data["is_chat"]
        return is_chat in (None, is_chat_now, event.data.get("was_chat", is_chat_now))


BOARD_MEMORY = MemoryKind(
    Note,
    "board_id",
    EventType.BOARD_MEMORY_CREATED,
    EventType.BOARD_MEMORY_UPDATED,
    EventType.BOARD_MEMORY_DELETED,
)
GROUP_MEMORY = MemoryKind(
    GroupNote,
    "board_group_id",
    EventType.GROUP_MEMORY_CREATED,
    EventType.GROUP_MEMORY_UPDATED,
    EventType.GROUP_MEMORY_DELETED,
)


@dataclass(frozen=True)
class MemoryScope:
    """A board or a group whose notes are read or changed."""

    kind: MemoryKind
    id: UUID | None  # None: the group of a board that has none
    organization_id: UUID
    board: Board | None = None
    group: BoardGroup | None = None  # required to create a note

    @property
    def event_data(self) -> dict[str, object]:
        """The part of the event data that describes the board or group."""
        if self.group is not None:
            return {"name": self.group.name, "group_id": str(self.group.id)}
        return {"name": self.board.name} if self.board else {}


def board_scope(board: Board) -> MemoryScope:
    """Return the scope of a board's notes."""
    return MemoryScope(BOARD_MEMORY, board.id, board.organization_id, board)


def group_scope(group: BoardGroup) -> MemoryScope:
    """Return the scope of a group's notes."""
    return MemoryScope(GROUP_MEMORY, group.id, group.organization_id, group=group)


def board_group_scope(board: Board, group: BoardGroup | None = None) -> MemoryScope:
    """Return the scope of the notes of a board's group. To create a note, the group is required."""
    return MemoryScope(GROUP_MEMORY, board.board_group_id, board.organization_id, group=group)
