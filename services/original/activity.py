"""Activity of the original: events, and the comments of tasks, which are events there."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select

from core.db.reads import AnySelect
from core.fields import MAX_NAME_LENGTH
from core.text import to_one_line
from models import Comment, Event, EventType, Status
from services.original.source import AGENTS as ORIGINAL_AGENTS
from services.original.source import (
    BOARDS,
    EVENTS,
    TASKS,
    is_of_agents,
    is_of_boards,
    select_rows,
)
from services.original.transfer import NewRow, Transfer
from services.original.values import OriginalRow

MOVED = re.compile(r"Task moved to (\w+): ")
TITLE = re.compile(
    r"(?:Task (?:created|updated|moved to \w+|created by lead)|Lead agent notified for task"
    r"|Lead notified task returned to inbox): (.*?)\.?",
    re.DOTALL,
)
NAME = re.compile(
    r"(?:Agent notified for assignment|Assignee notified about requested changes"
    r"|Lead agent notified for board update|\w+ directly for|Wakeup message sent to"
    r"|Nudge sent to|Deleted agent)[: ] ?(.*?)\.?",
    re.DOTALL,
)
ERROR = re.compile(r"[^:]*(?:failed|Failed)[^:]*: (.*)", re.DOTALL)

SAME_TYPES = frozenset(
    {
        EventType.TASK_CREATED,
        EventType.TASK_UPDATED,
        EventType.TASK_STATUS_CHANGED,
        EventType.TASK_COMMENT,
        EventType.TASK_LEAD_NOTIFIED,
        EventType.TASK_LEAD_NOTIFY_FAILED,
        EventType.TASK_LEAD_UNASSIGNED_NOTIFIED,
        EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED,
        EventType.TASK_ASSIGNEE_NOTIFIED,
        EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
        EventType.TASK_REWORK_NOTIFIED,
        EventType.TASK_REWORK_NOTIFY_FAILED,
        EventType.BOARD_LEAD_NOTIFIED,
        EventType.BOARD_LEAD_NOTIFY_FAILED,
        EventType.GROUP_JOIN_NOTIFIED,
        EventType.GROUP_JOIN_NOTIFY_FAILED,
        EventType.GROUP_LEAVE_NOTIFIED,
        EventType.GROUP_LEAVE_NOTIFY_FAILED,
        EventType.APPROVAL_LEAD_NOTIFIED,
        EventType.APPROVAL_LEAD_NOTIFY_FAILED,
        EventType.AGENT_SOUL_UPDATED,
        EventType.AGENT_PROVISIONED,
        EventType.AGENT_PROVISION_FAILED,
        EventType.AGENT_SYNCED,
        EventType.AGENT_UPDATE_FAILED,
        EventType.AGENT_WOKEN,
        EventType.NUDGE_SENT,
        EventType.NUDGE_FAILED,
        EventType.ASK_USER_SENT,
        EventType.ASK_USER_FAILED,
        EventType.LEAD_MESSAGE_SENT,
        EventType.LEAD_MESSAGE_FAILED,
        EventType.LEAD_BROADCAST_SENT,
    }
)
"""The types of the original, which mean the same here."""

EVENT_TYPES: Mapping[str, EventType] = {
    **{type.value: type for type in SAME_TYPES},
    "agent.delete.direct": EventType.AGENT_DELETED,
    "task.assignee_woken": EventType.AGENT_WOKEN,
}
"""The types that come. Others, above all each heartbeat, are not events here."""

MOVES = (EventType.TASK_CREATED.value, EventType.TASK_STATUS_CHANGED.value)


async def import_activity(transfer: Transfer) -> None:
    """Import the events in the order of their times, and the comments."""

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        type = EVENT_TYPES.get(row["event_type"])
        if type is None:
            kind = to_one_line(row["event_type"] or "")[:60]
            known = kind if kind in UNUSED_TYPES else "another type"
            row.leave(f"{known}: there is no such event here")
            return
        agent_id = row["agent_id"] if row["agent_id"] in transfer.agents else None
        board_id = row["event_board_id"]
        if board_id is not None:
            organization_id = transfer.boards[board_id]
        elif agent_id is not None:
            organization_id = transfer.agents[agent_id].organization_id
        else:
            row.leave("it belongs to an object that is not imported")
            return
        if agent_id is not None and transfer.agents[agent_id].organization_id != organization_id:
            agent_id = None
        at = row.moment()
        task_id = row["task_id"] if row["task_board_id"] == board_id else None
        if type is EventType.TASK_COMMENT:
            if task_id is None:
                row.leave("a comment without its task")
                return
            comment = {
                "id": row.id,
                "board_id": board_id,
                "task_id": task_id,
                "message": row.text("message") or "",
                "agent_id": agent_id,
                "created_at": at,
            }
            yield NewRow(Comment, comment)
        values = {
            "id": row.id,
            "type": type,
            "organization_id": organization_id,
            "board_id": board_id,
            "task_id": task_id,
            "agent_id": agent_id,
            "data": build_event_data(type, row["message"] or "", row.values),
            "created_at": at,
        }
        yield NewRow(Event, values)

    await transfer.copy("events and comments", _select_events(transfer), plan)


def _select_events(transfer: Transfer) -> AnySelect:
    """Select the events of boards, of their tasks, and of agents without a board.

    Each move of a task comes with the message of the one before.
    """
    ids = transfer.organization_ids
    of_moves = EVENTS.c.event_type.in_(MOVES)
    earlier = (
        select(
            EVENTS.c.id,
            func.left(
                func.lag(EVENTS.c.message).over(
                    partition_by=EVENTS.c.task_id,
                    order_by=(EVENTS.c.created_at, EVENTS.c.id),
                ),
                100,
            ).label("earlier_message"),
        )
        .where(of_moves)
        .subquery("earlier")
    )
    board_id = func.coalesce(EVENTS.c.board_id, TASKS.c.board_id)
    of_agents = select(ORIGINAL_AGENTS.c.id).where(is_of_agents(ids))
    query = select_rows(
        EVENTS,
        board_id.label("event_board_id"),
        TASKS.c.board_id.label("task_board_id"),
        func.left(TASKS.c.title, MAX_NAME_LENGTH * 2).label("title"),
        BOARDS.c.name.label("board_name"),
        ORIGINAL_AGENTS.c.name.label("agent_name"),
        earlier.c.earlier_message,
    )
    query = query.outerjoin(TASKS, TASKS.c.id == EVENTS.c.task_id)
    query = query.outerjoin(BOARDS, BOARDS.c.id == board_id)
    query = query.outerjoin(ORIGINAL_AGENTS, ORIGINAL_AGENTS.c.id == EVENTS.c.agent_id)
    query = query.outerjoin(earlier, earlier.c.id == EVENTS.c.id)
    is_ours = is_of_boards(board_id, ids) | (board_id.is_(None) & EVENTS.c.agent_id.in_(of_agents))
    return query.where(is_ours).order_by(EVENTS.c.created_at, EVENTS.c.id)


UNUSED_TYPES = frozenset({"agent.heartbeat", "task.assignee_wake_failed"})
"""Types of the original that no event here corresponds to."""


def build_event_data(type: EventType, message: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of an event: what its texts contain, and the statuses of a move."""
    if type is EventType.TASK_COMMENT:
        return {"title": _shorten(row["title"] or "")}
    data: dict[str, str] = {}
    if row["title"] or type.value.startswith("task."):
        data["title"] = _shorten(_find(TITLE, message) or row["title"] or "")
    if type.value.startswith(("agent.", "board.", "gateway.")):
        of_agent = row["agent_name"] if type.value.startswith("agent.") else row["board_name"]
        data["name"] = _shorten(_find(NAME, message) or of_agent or "")
    if type.value.endswith("failed"):
        error = _shorten(_find(ERROR, message) or message)
        data |= {"error": error, "reason": error}
    if type.value in MOVES:
        data |= _build_move(type, message, row["earlier_message"])
    return data


def _build_move(type: EventType, message: str, earlier: str | None) -> dict[str, str]:
    """Return the statuses of a move, or of a new task, as far as they are known."""
    if type is EventType.TASK_CREATED:
        return {"entered": Status.INBOX}
    entered, left = _find_status(message), _find_status(earlier or "") or Status.INBOX
    return {"left": left, "entered": entered} if entered and entered != left else {}


def _find_status(message: str) -> str | None:
    found = MOVED.match(message)
    return found[1] if found and found[1] in set(Status) else None


def _find(pattern: re.Pattern[str], message: str) -> str | None:
    found = pattern.fullmatch(message[:2_000])
    return found[1].strip() if found else None


def _shorten(text: str) -> str:
    return to_one_line(text)[:MAX_NAME_LENGTH]
