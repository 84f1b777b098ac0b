"""The goal of a board, as an onboarding sets it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kit.clock import now
from kit.values import checked
from models import Board, EventType, User
from services import events, messages
from services.boards.edits import plain
from services.boards.rules import CHECKS
from services.boards.telling import to_lead


class GoalSet(NamedTuple):
    """What the caller of `set_goal` is to record, and what a lead that is there is to be told."""

    happened: Sequence[events.Happened] = ()
    to_lead: Sequence[messages.Draft] = ()


def set_goal(user: User, board: Board, changes: Mapping[str, Any]) -> GoalSet:
    """Set fields of a board that is held, and return what the caller is to record and to tell.

    Whether this person may set them, the caller has decided. Raises Invalid with the field.
    """
    given = checked(CHECKS, changes)
    new = {name: value for name, value in given.items() if value != getattr(board, name)}
    if not new:
        return GoalSet()
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
    return GoalSet([updated], [to_lead(user, board, moved)])
