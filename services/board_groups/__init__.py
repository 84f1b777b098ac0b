"""Groups of boards: who sees which, how they come and go, and how often all there check in."""

from services.board_groups.access import get, hold_as_admin, of_board, writing
from services.board_groups.crews import Crews, check_in, hold_to_steer
from services.board_groups.edits import change, create, delete
from services.board_groups.lists import listed
from services.board_groups.rules import GroupDraft
from services.board_groups.snapshots import BoardGlance, GroupSnapshot, TaskGlance, snapshot

__all__ = [
    "BoardGlance",
    "Crews",
    "GroupDraft",
    "GroupSnapshot",
    "TaskGlance",
    "change",
    "check_in",
    "create",
    "delete",
    "get",
    "hold_as_admin",
    "hold_to_steer",
    "listed",
    "of_board",
    "snapshot",
    "writing",
]
