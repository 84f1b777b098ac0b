"""Edits of a task on its page, and the versions of its description."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Conflict, NotFound
from core.fields import list_labels
from core.http.request import STATUS_CODES, open_reader, open_transaction
from models import Status
from services import custom_fields, tasks
from services.tasks import BulkResult, DescriptionVersion, TaskUpdate
from web.approvals.completions import REJECTION_CODES
from web.auth.viewer import current_member
from web.boards.bulk_views import load_rejections
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_access, board_for_update
from web.custom_fields import task_form
from web.tasks.forms import list_edited_fields, load_value_names, parse_changes
from web.tasks.views import redirect_to_task, render_task, task_path
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, ValueNames, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_in_thread, render_page
from web.ui.text_comparison import TextComparison
from web.ui.translation import N_

FIELD_EDITORS = {
    "title": "title",
    "description": "text",
    "due_at": "due",
    "tag_ids": "tags",
}
"""The fields that are edited in a form that opens, and the name of that form."""


async def update_task(request: Request) -> Response:
    """Apply the submitted fields to a task, and show it."""
    form = await forms.read_form(request)
    task_id = forms.path_id(request, "task_id")
    zone = time_format.get_time_zone(request.user.timezone)
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            detail = await tasks.get_task_detail(session, board, task_id)
            untouched = check_edit(form, list_edited_fields(detail, zone))
            if "assignee" in untouched:
                untouched |= {"assigned_agent_id", "assigned_user_id"}
            fields = parse_changes(form, detail, zone).without(untouched)
            if fields.model_fields_set or not untouched:
                await tasks.update_task(session, request.user, board, task_id, fields)
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
    sent = form.values.keys() & {*list_labels(TaskUpdate), "assignee", "add", "take"}
    to_confirm = [result.task_id] if sent == {"status"} else []
    moves, confirmation = await load_rejections(request, [result], to_confirm=to_confirm)
    if confirmation is not None:
        if is_part_request(request):
            return await render_task(request, confirmation=confirmation, status=form.status)
        return RedirectResponse(task_path(request, "/completions"), 303)
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
        member = current_member(request)
        names = names or await load_value_names(source, member, form, detail)
    about = ConflictContext(
        title=detail.task.title,
        back=task_path(request),
        action=action or task_path(request, "/changes"),
        organization_id=board.organization_id,
        object_id=detail.task.id,
        names=names,
        suggest=f"board={board.id}",
        editor=f"edit-{editor}" if editor else "",
    )
    return await render_conflict(request, form, about)


async def update_task_fields(request: Request) -> Response:
    """Change the submitted custom fields of a task, and show it."""
    form = await forms.read_form(request)
    task_id = forms.path_id(request, "task_id")
    zone = time_format.get_time_zone(request.user.timezone)
    names: ValueNames = {}
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            fields = await custom_fields.list_task_fields(session, board, task_id)
            names = task_form.name_values(fields)
            untouched = check_edit(form, task_form.list_edited_fields(form, fields, zone))
            values = task_form.collect_values(form, fields, zone, untouched)
            with task_form.show_value_errors(form, fields):
                if values or not untouched:
                    changes = TaskUpdate.of(custom_field_values=values)
                    await tasks.update_task(session, request.user, board, task_id, changes)
        if is_part_request(request):
            return await render_task(request)
        return redirect_to_task(request)
    editor = task_form.find_first_name(form)
    if form.conflicts:
        action = task_path(request, "/fields")
        return await render_task_conflict(request, form, editor, action=action, names=names)
    return await render_task(request, form, focus=editor)


async def show_descriptions(request: Request) -> Response:
    """Show the versions of a description, and what one of them has changed."""
    layout = await load_layout(request)
    task_id = forms.path_id(request, "task_id")
    async with open_reader(request) as source:
        access = await board_access(request, source)
        detail = await tasks.get_task_detail(source, access.board, task_id)
        versions = await tasks.list_description_versions(source, access.board, task_id)
        context: dict[str, Any] = {"version": None}
        if versions:
            shown = _find_version(versions, request.query_params.get("version"))
            pair = versions[shown : shown + 2]  # the version, and the one before it
            found = await tasks.load_description_texts(
                source, access.board, task_id, [version.id for version in pair]
            )
            text, *previous = (found.get(version.id, "") for version in pair)
            context = {
                "version": pair[0],
                "text": text,
                "has_previous": bool(previous),
                "comparison": TextComparison(previous[0] if previous else "", text),
            }
    return await render_in_thread(
        render_page,
        request,
        "tasks/descriptions.html",
        layout=layout,
        board=access.board,
        can_write=access.can_write,
        task=detail.task,
        versions=versions,
        address=BoardAddress.from_query(request.query_params),
        form=forms.Form(),
        **context,
    )


async def restore_description(request: Request) -> Response:
    """Make an earlier version the description again: an edit, which can conflict with others."""
    form = await forms.read_form(request)
    task_id = forms.path_id(request, "task_id")
    zone = time_format.get_time_zone(request.user.timezone)
    try:
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            detail = await tasks.get_task_detail(session, board, task_id)
            version_id = forms.path_id(request, "version_id")
            text = await tasks.get_description_text(session, board, task_id, version_id)
            form.values["description"] = [text]
            fields = list_edited_fields(detail, zone)
            check_edit(form, [field for field in fields if field.name == "description"])
            restored = TaskUpdate.of(description=text or None)
            await tasks.update_task(session, request.user, board, task_id, restored)
    except Conflict as error:
        if not form.conflicts:
            raise
        form.status = STATUS_CODES[type(error)]
        return await render_task_conflict(request, form)
    return redirect_to_task(request)


def _find_version(versions: Sequence[DescriptionVersion], id: str | None) -> int:
    """Return the place of the version in the address; the newest if there is none."""
    if not id:
        return 0
    wanted = forms.parse_id(id)
    for place, version in enumerate(versions):
        if version.id == wanted:
            return place
    raise NotFound("description_version_not_found", N_("This version is not stored any more."))
