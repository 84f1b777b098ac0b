"""Data of a task for the templates."""

from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams

from core.db.reads import Source
from models import Board, Member, Task, User
from services import approvals, boards, tags, tasks
from services.approvals import ApprovalDraft
from services.boards import BoardPermissions
from services.tasks import TaskDetail
from web.agents import presenter
from web.approvals.presenter import ApprovalView, load_approval_views
from web.approvals.sentences import build_done_reason
from web.boards.address import BoardAddress
from web.boards.task_links import load_link_labels
from web.custom_fields.task_form import load_field_views
from web.tasks.conversation import load_conversation
from web.tasks.edited_fields import format_due_date_field
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


async def _list_open_approvals(
    source: Source, member: Member, access: BoardPermissions, task_id: UUID
) -> list[ApprovalView]:
    """Return approvals of a task that are undecided or can still be undone."""
    open_approvals = await approvals.list_open_approvals(source, access.board, task_id)
    writable = {access.board.id} if access.can_write else set[UUID]()
    return await load_approval_views(source, member, open_approvals, writable)
