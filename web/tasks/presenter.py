"""Data of a task and its conversation for the templates."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.responses import Response

from core.db.reads import Source
from models import Board, Member, Task, User
from services import agents, approvals, boards, events, presence, tags, tasks
from services.activity import UNDOABLE_DECISION_EVENTS
from services.approvals import ApprovalDraft
from services.boards import BoardPermissions
from services.tasks import TaskDetail
from web.agents import presenter
from web.approvals.presenter import ApprovalView, load_approval_views
from web.approvals.sentences import build_done_reason
from web.boards.address import BoardAddress
from web.boards.task_links import load_link_labels
from web.custom_fields.task_form import load_field_views
from web.tasks.edited_fields import format_due_date_field
from web.tasks.history import build_history_line
from web.ui import forms, time_format

CERTAIN = 100.0  # percent: confidence of an approval that a user requests
SHORT_ID_LENGTH = 6  # last characters of an id, enough to distinguish the tasks of a board
FIELD_EDITORS = {
    "title": "title",
    "description": "text",
    "due_at": "due",
    "tag_ids": "tags",
}
"""The fields that are edited in a form that opens, and the name of that form."""


async def load_task_view(
    source: Source,
    member: Member,
    access: BoardPermissions,
    task_id: UUID,
    query: QueryParams,
    form: forms.Form | None = None,
) -> dict[str, Any]:
    """Load a task with everything that its page shows. Raises NotFound."""
    board, user = access.board, member.user
    detail = await tasks.get_task_detail(source, board, task_id)
    context = {
        "board": board,
        "can_write": access.can_write,
        **await _load_place(source, board, task_id, BoardAddress.from_query(query)),
        "detail": detail,
        "task": detail.task,
        "short_id": str(detail.task.id)[-SHORT_ID_LENGTH:],
        "due_date_field": format_due_date_field(
            detail.task.due_at, time_format.get_time_zone(user.timezone)
        ),
        "open_approvals": await _list_open_approvals(source, member, access, task_id),
        "form": form or forms.Form(),
        "has_description_versions": await tasks.has_description_versions(source, detail.task),
        "task_fields": await load_field_views(source, board, user, task_id),
        "task_links": await load_link_labels(source, board, task_id),
        "is_lead_missing": "unheard" in query,
        "watchers": await tasks.list_watchers(source, board, task_id),
        "reader_id": user.id,
        **await presenter.load_task_runs(source, member, board, task_id),
        **await load_conversation(source, user, board, task_id, query),
    }
    if access.can_write:
        context |= await _load_choices(source, board, detail)
    return context


async def _load_choices(source: Source, board: Board, detail: TaskDetail) -> dict[str, Any]:
    """Load what the forms of a task offer."""
    others = await tasks.list_dependency_choices(source, board, detail.task.id)
    current = detail.depends_on_task_ids
    return {
        "assignees": await tasks.list_assignable_agents(source, board),
        "people": await boards.list_board_people(source, board),
        "dependency_options": [(one.id, one.title) for one in others if one.id not in current],
        "tag_choices": await tags.list_board_tags(source, board),
    }


async def _load_place(
    source: Source, board: Board, task_id: UUID, address: BoardAddress
) -> dict[str, Any]:
    """Load the place of a task in the view from which it was opened."""
    place = await tasks.find_board_place(source, board, task_id, address.filters, address.order)
    return {"address": address, "place": place}


def build_done_approval(task: Task, user: User) -> ApprovalDraft:
    """Build the approval that a board requires before a task moves to Done."""
    return ApprovalDraft(
        action_type="task.complete",
        confidence=CERTAIN,
        task_id=task.id,
        payload={"reason": build_done_reason(user.display_name)},
    )


async def load_conversation(
    source: Source, user: User, board: Board, task_id: UUID, query: QueryParams
) -> dict[str, Any]:
    """Load the history and comments of a task; with `show=comments` only the comments."""
    unread = await find_unread_comments(source, user, board, task_id, query)
    entries = await tasks.list_history(source, board, task_id)
    only_comments = query.get("show") == "comments"
    if only_comments:
        entries = [entry for entry in entries if entry.comment]
    entries = [
        entry
        for entry in entries
        if not entry.event or entry.event.type not in UNDOABLE_DECISION_EVENTS
    ]
    board_agents = await agents.list_board_agents(source, board)
    return {
        "entries": [build_history_line(entry) for entry in entries],
        "only_comments": only_comments,
        "unread_comments": unread,
        "agents_by_id": {agent.id: agent for agent in board_agents},
        "lead": next((agent for agent in board_agents if agent.is_board_lead), None),
    }


async def _list_open_approvals(
    source: Source, member: Member, access: BoardPermissions, task_id: UUID
) -> list[ApprovalView]:
    """Return approvals of a task that are undecided or can still be undone."""
    open_approvals = await approvals.list_open_approvals(source, access.board, task_id)
    writable = {access.board.id} if access.can_write else set[UUID]()
    return await load_approval_views(source, member, open_approvals, writable)


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
    last_seq: int  # number of the last event when the comments were loaded
    is_first_view: bool

    def trigger_refresh(self, response: Response) -> None:
        """Make htmx refresh the board beside the conversation after comments were read."""
        if self.has_new:
            response.headers["HX-Trigger"] = "tasks"


async def find_unread_comments(
    source: Source, user: User, board: Board, task_id: UUID, query: QueryParams
) -> UnreadComments:
    """Return which comments of a task are new to a user, before the comments are loaded.

    Nothing is new for a user who opens the task for the first time.
    """
    last_seq = await events.get_last_seq(source, board.organization_id)
    board_query = BoardAddress.from_query(query).query
    read_up_to = await presence.find_read_position(source, user, board, task_id)
    given = query.get(SINCE_PARAMETER)
    since = read_up_to if given is None else min(forms.parse_number(given), read_up_to or 0)
    comments = await presence.list_comments_after(source, user, board, task_id, since or 0)
    has_new = bool(comments) and comments[-1].seq > (read_up_to or 0)
    is_first_view = read_up_to is None
    if since is None or not comments:
        return UnreadComments("", board_query, has_new, last_seq, is_first_view)
    refresh_query = f"{board_query}{'&' if board_query else '?'}{SINCE_PARAMETER}={since}"
    first_id = f"c-{comments[0].id}"
    return UnreadComments(first_id, refresh_query, has_new, last_seq, is_first_view)
