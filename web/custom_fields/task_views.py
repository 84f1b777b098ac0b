"""Changes of the custom fields of a task."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.http.request import open_transaction
from services import custom_fields, tasks
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_for_update
from web.custom_fields.task_form import (
    collect_values,
    find_first_name,
    list_edited_fields,
    name_values,
    show_value_errors,
)
from web.tasks.edit_views import render_task_conflict
from web.tasks.views import render_task
from web.ui import forms, time_format
from web.ui.edit_conflicts import ValueNames
from web.ui.edited_fields import check_edit
from web.ui.render import is_part_request


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
            names = name_values(fields)
            untouched = check_edit(form, list_edited_fields(form, fields, zone))
            values = collect_values(form, fields, zone, untouched)
            with show_value_errors(form, fields):
                if values or not untouched:
                    changes = tasks.TaskUpdate.of(custom_field_values=values)
                    await tasks.update_task(session, request.user, board, task_id, changes)
        if is_part_request(request):
            return await render_task(request)
        query = BoardAddress.from_query(request.query_params).query
        return RedirectResponse(f"{request.url.path.removesuffix('/fields')}{query}", 303)
    editor = find_first_name(form)
    if form.conflicts:
        path = f"{request.url.path}{BoardAddress.from_query(request.query_params).query}"
        return await render_task_conflict(request, form, editor, action=path, names=names)
    return await render_task(request, form, focus=editor)


TASK_FIELD_ROUTES: list[Route] = [
    Route(
        "/boards/{board_id:uuid}/tasks/{task_id:uuid}/fields",
        update_task_fields,
        methods=["POST"],
    ),
]
