"""Where something is remembered: on a board, or in a group of boards."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models import Board, BoardGroup, Event, EventType, GroupNote, Note


@dataclass(frozen=True)
class Kind:
    """What is kept in one kind of place, and how is told what happens to it."""

    note: type[Note] | type[GroupNote]
    place: str  # the field of a note that says where it is
    created: EventType
    updated: EventType
    deleted: EventType

    @property
    def column(self) -> Any:
        """The column that says where a note is."""
        return getattr(self.note, self.place)

    def place_of(self, event: Event) -> UUID | None:
        """Return the board or the group in which it happened."""
        if self.note is Note:
            return event.board_id
        return UUID(event.data["group_id"])

    def fits(self, event: Event, is_chat: bool | None) -> bool:
        """Say whether it happened to a note of the chat, or to another; either way for None.

        A note that has become the other kind is still told to those who knew it as it was.
        """
        now = event.data["is_chat"]
        return is_chat in (None, now, event.data.get("was_chat", now))


BOARD = Kind(
    Note,
    "board_id",
    EventType.BOARD_MEMORY_CREATED,
    EventType.BOARD_MEMORY_UPDATED,
    EventType.BOARD_MEMORY_DELETED,
)
GROUP = Kind(
    GroupNote,
    "board_group_id",
    EventType.GROUP_MEMORY_CREATED,
    EventType.GROUP_MEMORY_UPDATED,
    EventType.GROUP_MEMORY_DELETED,
)


@dataclass(frozen=True)
class Place:
    """A board or a group, as far as somebody may read there, or write."""

    kind: Kind
    id: UUID | None  # None where a board is in no group: nothing is kept there
    organization_id: UUID
    board: Board | None = None
    group: BoardGroup | None = None  # known to whoever writes

    @property
    def facts(self) -> dict[str, object]:
        """What an event tells of the place."""
        if self.group is not None:
            return {"name": self.group.name, "group_id": str(self.group.id)}
        return {"name": self.board.name} if self.board else {}

    @property
    def of_event(self) -> dict[str, Any]:
        """Where an event is recorded: what happens in a group is of none of its boards."""
        board = self.board if self.kind is BOARD else None
        return {"organization_id": self.organization_id, "board": board}


def on_board(board: Board) -> Place:
    """Return what a board remembers."""
    return Place(BOARD, board.id, board.organization_id, board)


def in_group(group: BoardGroup) -> Place:
    """Return what a group of boards remembers."""
    return Place(GROUP, group.id, group.organization_id, group=group)


def in_group_of(board: Board, group: BoardGroup | None = None) -> Place:
    """Return what the group of a board remembers. Whoever writes there brings the group."""
    return Place(GROUP, board.board_group_id, board.organization_id, group=group)
