"""The goal of a board, as an onboarding sets it."""

from collections.abc import Mapping
from typing import Any

from kit.clock import now
from kit.values import checked
from models import Board, EventType, User
from services import events
from services.boards.edits import plain
from services.boards.rules import CHECKS


def set_goal(user: User, board: Board, changes: Mapping[str, Any]) -> list[events.Happened]:
    """Set fields of a board that is held, and return what the caller is to record.

    Whether this person may set them, the caller has decided. Raises Invalid with the field.
    """
    given = checked(CHECKS, changes)
    new = {name: value for name, value in given.items() if value != getattr(board, name)}
    if not new:
        return []
    moved = {name: [plain(getattr(board, name)), plain(value)] for name, value in new.items()}
    for name, value in new.items():
        setattr(board, name, value)
    board.updated_at = now()
    board.version += 1
    updated = events.Happened(
        EventType.BOARD_UPDATED,
        user,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name, "changes": moved},
    )
    return [updated]
