"""Data of a task and its conversation for the templates."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.responses import Response

from core.http.request import Session
from core.paging import Paging
from models import ApprovalStatus, Board, Member, ReadKind, Task, User
from services import agents, approvals, presence, tags, tasks
from services.activity import UNDOABLE_DECISION_EVENTS
from services.approvals import ApprovalDraft
from services.boards import BoardPermissions
from web.agents import presenter
from web.approvals.presenter import ApprovalView, load_approval_views
from web.boards.address import BoardAddress
from web.tasks.history import build_history_line
from web.ui import forms, time_format

CERTAIN = 100.0  # percent: confidence of an approval that a user requests
SHORT_ID_LENGTH = 6  # last characters of an id, enough to distinguish the tasks of a board
OPEN = ApprovalStatus.PENDING
FIELD_EDITORS = {
    "title": "text",
    "description": "text",
    "due_at": "due",
    "tag_ids": "tags",
}
"""The fields that are edited in a form that opens, and the name of that form."""


async def load_task_view(
    session: Session,
    member: Member,
    access: BoardPermissions,
    task_id: UUID,
    query: QueryParams,
    form: forms.Form | None = None,
) -> dict[str, Any]:
    """Load a task with everything that its page shows. Raises NotFound."""
    board, user = access.board, member.user
    detail = await tasks.get_task_detail(session, board, task_id)
    context = {
        "board": board,
        "can_write": access.can_write,
        "address": BoardAddress.from_query(query),
        "detail": detail,
        "task": detail.task,
        "short_id": str(detail.task.id)[-SHORT_ID_LENGTH:],
        "due_date_field": _due_date_field(
            detail.task.due_at, time_format.get_time_zone(user.timezone)
        ),
        "open_approvals": await _list_open_approvals(session, member, access, task_id),
        "form": form or forms.Form(),
        "is_lead_missing": "unheard" in query,
        **await presenter.load_task_runs(session, member, board, task_id),
        **await load_conversation(session, user, board, task_id, query),
    }
    if access.can_write:
        others = await tasks.list_dependency_choices(session, board, task_id)
        current = detail.depends_on_task_ids
        context |= {
            "assignees": await tasks.list_assignable_agents(session, board),
            "dependency_options": [(one.id, one.title) for one in others if one.id not in current],
            "tag_choices": await tags.list_board_tags(session, board),
        }
    return context


def build_done_approval(task: Task, user: User) -> ApprovalDraft:
    """Build the approval that a board requires before a task moves to Done."""
    reason = f"{user.display_name} would move it to Done, and this board asks first."
    return ApprovalDraft(
        action_type="task.complete",
        confidence=CERTAIN,
        task_id=task.id,
        payload={"reason": reason},
    )


async def load_conversation(
    session: Session, user: User, board: Board, task_id: UUID, query: QueryParams
) -> dict[str, Any]:
    """Load the history and comments of a task; with `show=comments` only the comments."""
    unread = await mark_comments_read(session, user, board, task_id, query)
    entries = await tasks.list_history(session, board, task_id)
    only_comments = query.get("show") == "comments"
    if only_comments:
        entries = [entry for entry in entries if entry.comment]
    entries = [
        entry
        for entry in entries
        if not entry.event or entry.event.type not in UNDOABLE_DECISION_EVENTS
    ]
    board_agents = await agents.list_board_agents(session, board)
    return {
        "entries": [build_history_line(entry) for entry in entries],
        "only_comments": only_comments,
        "unread_comments": unread,
        "agents_by_id": {agent.id: agent for agent in board_agents},
        "lead": next((agent for agent in board_agents if agent.is_board_lead), None),
    }


def _due_date_field(due_at: datetime | None, zone: tzinfo) -> str:
    """Format a due date for a date field, in the time zone of the user."""
    return due_at.astimezone(zone).date().isoformat() if due_at else ""


async def _list_open_approvals(
    session: Session, member: Member, access: BoardPermissions, task_id: UUID
) -> list[ApprovalView]:
    """Return approvals of a task that are undecided or can still be undone."""
    found = await approvals.list_board_approvals(session, access.board, Paging(), status=OPEN)
    open_approvals = [one for one in found.items if task_id in one.task_ids]
    writable = {access.board.id} if access.can_write else set[UUID]()
    return await load_approval_views(session, member, open_approvals, writable)


SINCE_PARAMETER = "since"


@dataclass(frozen=True)
class UnreadComments:
    """The comments that are new to a reader.

    The line above the first new comment keeps its place while the page is open: the page requests
    its parts with the number of the event after which the comments were new.
    """

    first_id: str  # element id of the first new comment; "" if nothing is new
    query: str  # address query that shows the same again
    has_new: bool  # whether something was unread before this view

    def trigger_refresh(self, response: Response) -> None:
        """Make htmx refresh the board beside the conversation after comments were read."""
        if self.has_new:
            response.headers["HX-Trigger"] = "tasks"


async def mark_comments_read(
    session: Session, user: User, board: Board, task_id: UUID, query: QueryParams
) -> UnreadComments:
    """Mark the comments of a task as read, and return those that were new.

    Nothing is marked as new for a user who opens the task for the first time.
    """
    board_query = BoardAddress.from_query(query).query
    read_up_to = await presence.find_read_position(session, user, board, task_id)
    given = query.get(SINCE_PARAMETER)
    since = read_up_to if given is None else min(forms.parse_number(given), read_up_to or 0)
    comments = await presence.list_comments_after(session, user, board, task_id, since or 0)
    has_new = bool(comments) and comments[-1].seq > (read_up_to or 0)
    await presence.mark_read(session, user, board, ReadKind.COMMENTS, task_id=task_id)
    if since is None or not comments:
        return UnreadComments("", board_query, has_new)
    refresh_query = f"{board_query}{'&' if board_query else '?'}{SINCE_PARAMETER}={since}"
    return UnreadComments(f"c-{comments[0].id}", refresh_query, has_new)
