"""Data of a task for the templates."""

from typing import Any
from uuid import UUID

from starlette.datastructures import QueryParams

from core.db.reads import Source
from models import Member
from services import tasks
from services.boards import BoardPermissions
from services.task_pages import load_task_page_data
from services.tasks import TaskCreate
from web.agents import presenter
from web.approvals.presenter import load_approval_views
from web.boards.query_parameters import BoardAddress
from web.boards.task_links import label_link
from web.custom_fields.task_form import build_field_views
from web.tasks.conversation import load_conversation
from web.tasks.forms import list_edited_fields
from web.ui import forms, time_format
from web.ui.object_forms import build_form_fields

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
    page = await load_task_page_data(source, board, task_id, with_options=access.can_write)
    address = BoardAddress.from_query(query)
    writable = {board.id} if access.can_write else set[UUID]()
    form = form or forms.Form()
    edited = list_edited_fields(detail, time_format.get_time_zone(user.timezone))
    submitted = build_form_fields(form, TaskCreate, edited)
    context = {
        "board": board,
        "can_write": access.can_write,
        "address": address,
        "neighbors": await tasks.find_neighbors(  # in the view from which it was opened
            source, board, task_id, address.filters, address.order
        ),
        "detail": detail,
        "task": detail.task,
        "short_id": str(detail.task.id)[-6:],  # enough to distinguish the tasks of a board
        "current": {field.name: field.value for field in edited},
        # One form changes a few of the fields; the others keep their values.
        "fields": build_form_fields(forms.Form(), TaskCreate, edited)
        | {name: field for name, field in submitted.items() if name in form.values},
        "open_approvals": await load_approval_views(source, member, page.open_approvals, writable),
        "form": form,
        "has_description_versions": page.has_description_versions,
        "task_fields": build_field_views(page.fields, user),
        "task_links": [label_link(one) for one in page.links],
        "is_lead_missing": "unheard" in query,
        "workers": page.workers,
        "watchers": page.watchers,
        "reader_id": user.id,
        **await presenter.load_run_context(
            source, member, board, task_id, page.runs, page.messages_without_action
        ),
        **await load_conversation(source, user, board, task_id, query),
    }
    if access.can_write:  # what the forms offer
        current, others = detail.depends_on_task_ids, page.possible_dependencies
        context |= {
            "assignees": page.agents,
            "people": page.people,
            "dependency_options": [(one.id, one.title) for one in others if one.id not in current],
            "board_tags": page.tags,
        }
    return context
