"""Memory: notes and chat, of boards and of groups of boards."""

from services.memory.edits import change, delete, write
from services.memory.notes import NoteDetail, hold, listed, newest_chat, one, several
from services.memory.places import BOARD, GROUP, Kind, Place, in_group, in_group_of, on_board
from services.memory.rules import CHAT, LONGEST_TAG, MOST_TAGS, NoteDraft, name_of
from services.memory.steering import paused_by, steer

__all__ = [
    "BOARD",
    "CHAT",
    "GROUP",
    "LONGEST_TAG",
    "MOST_TAGS",
    "Kind",
    "NoteDetail",
    "NoteDraft",
    "Place",
    "change",
    "delete",
    "hold",
    "in_group",
    "in_group_of",
    "listed",
    "name_of",
    "newest_chat",
    "on_board",
    "one",
    "paused_by",
    "several",
    "steer",
    "write",
]
