"""Edits of a task on its page."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Conflict
from core.http.request import open_reader, open_transaction
from models import Status
from services import tasks
from services.tasks import BulkResult
from web.approvals.completions import REJECTION_CODES
from web.boards.bulk_views import load_rejections
from web.boards.views import board_access, board_for_update
from web.tasks.edited_fields import list_edited_fields, load_value_names
from web.tasks.forms import TaskEditForm
from web.tasks.presenter import FIELD_EDITORS
from web.tasks.views import (
    changes_path,
    completions_path,
    redirect_to_task,
    render_task,
    task_path,
)
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, ValueNames, render_conflict
from web.ui.edited_fields import check_edit, without
from web.ui.render import is_part_request


async def update_task(request: Request) -> Response:
    """Apply the submitted fields to a task, and show it."""
    form = await forms.read_form(request)
    task_id = forms.path_id(request, "task_id")
    zone = time_format.get_time_zone(request.user.timezone)
    with form.catch_errors():
        fields = form.parse(TaskEditForm)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            detail = await tasks.get_task_detail(session, board, task_id)
            untouched = check_edit(form, list_edited_fields(detail, zone))
            changes = fields.to_changes(form, detail, zone)
            if "assignee" in untouched:
                changes = without(changes, {"assigned_agent_id", "assigned_user_id"})
            sent = without(changes, untouched)
            if sent or not untouched:
                await tasks.update_task(session, request.user, board, task_id, sent)
        if is_part_request(request):
            return await render_task(request)
        return redirect_to_task(request)
    if form.code in REJECTION_CODES and form.value("status") == Status.DONE:
        return await _render_rejected_completion(request, form)
    editor = next((FIELD_EDITORS[name] for name in form.values if name in FIELD_EDITORS), "")
    if form.conflicts:
        return await render_task_conflict(request, form, editor)
    return await render_task(request, form, focus=editor)


async def _render_rejected_completion(request: Request, form: forms.Form) -> Response:
    """Render the task with the reason why it is not done, or with the confirmation that is needed.

    The confirmation is offered for the status alone, because it changes nothing else.
    """
    result = BulkResult(forms.path_id(request, "task_id"), Conflict(form.code, form.problem))
    sent = set(form.values) & set(TaskEditForm.model_fields)
    to_confirm = [result.task_id] if sent == {"status"} else []
    moves, confirmation = await load_rejections(request, [result], to_confirm=to_confirm)
    if confirmation is not None:
        if is_part_request(request):
            return await render_task(request, confirmation=confirmation, status=form.status)
        return RedirectResponse(completions_path(request), 303)
    for move in moves:
        form.problem = form.problem if move.code in REJECTION_CODES else move.text
    return await render_task(request, form)


async def render_task_conflict(
    request: Request,
    form: forms.Form,
    editor: str = "",
    *,
    action: str = "",
    names: ValueNames | None = None,
) -> Response:
    """Render both versions of the fields that the user and somebody else have changed.

    `action` and `names` are those of a form with other fields than `list_edited_fields`.
    """
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        detail = await tasks.get_task_detail(source, board, forms.path_id(request, "task_id"))
        names = names or await load_value_names(source, board, detail)
    about = ConflictContext(
        title=detail.task.title,
        back=task_path(request),
        action=action or changes_path(request),
        organization_id=board.organization_id,
        object_id=detail.task.id,
        names=names,
        suggest=f"board={board.id}",
        editor=f"edit-{editor}" if editor else "",
    )
    return await render_conflict(request, form, about)
