"""What agents are told about their board: its fields, its group, and what was decided."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from models import Approval, Board, BoardGroup
from services.messages.texts.markers import Marker
from services.messages.texts.parts import fenced, labels, one_line, snippet, text

JOINED = (
    "The boards of a group share context: read the group's memory before you plan work that "
    "touches other boards, and tell in the group's chat what they have to know."
)
LEFT = (
    "This board and the group share no context any more: do not count on each other's work and "
    "agents, and say on your board what that changes."
)


def board_updated(board: Board, changes: Mapping[str, Sequence[object]]) -> str:
    """Tell the lead which fields of a board have changed, each with what it was and is."""
    head = labels({"Board": board.name, "Board ID": board.id})
    lines = [
        f"- {name}: {_value(old)} -> {_value(new)}" for name, (old, new) in sorted(changes.items())
    ]
    wanted = "See whether plan and assignments still fit, and change what does not."
    return text(Marker.BOARD_UPDATED, head, "\n".join(["Changed:", *lines]), wanted)


def group_updated(board: Board, group: BoardGroup, *, recipient: Board, joined: bool) -> str:
    """Tell an agent that a board has joined its group, or left it. `recipient` is its own board."""
    change = "Joined Board" if joined else "Left Board"
    head = labels(
        {
            change: board.name,
            f"{change} ID": board.id,
            "Recipient Board": recipient.name,
            "Recipient Board ID": recipient.id,
            "Board Group": group.name,
            "Board Group ID": group.id,
        }
    )
    return text(Marker.BOARD_GROUP_UPDATED, head, JOINED if joined else LEFT)


def approval_resolved(board: Board, approval: Approval, task_ids: Sequence[UUID]) -> str:
    """Tell the lead what was decided, and the note that came with it."""
    tasks = ", ".join(str(id) for id in task_ids) or None
    head = labels(
        {
            "Board": board.name,
            "Approval ID": approval.id,
            "Action": approval.action_type,
            "Decision": approval.status,
            "Confidence": f"{approval.confidence:g}",
            "Task IDs" if len(task_ids) > 1 else "Task ID": tasks,
        }
    )
    note = snippet(approval.decision_note or "")
    with_note = f"The decision came with a note:\n{fenced(note)}" if note else ""
    wanted = "Go on as it was decided, and see that whoever waited for it does."
    return text(Marker.APPROVAL_RESOLVED, head, with_note, wanted)


def _value(value: object) -> str:
    """Write a field's value as JSON does, in one line; a text and a time as they are."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | UUID):
        return one_line(snippet(str(value)))
    return one_line(snippet(json.dumps(value, sort_keys=True, ensure_ascii=False)))
