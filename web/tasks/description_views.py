"""The versions of the description of a task: show what each has changed, and restore one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from core.errors import Conflict, NotFound
from core.http.request import STATUS_CODES, open_reader, open_transaction
from services import tasks
from services.tasks import DescriptionVersion
from web.boards.address import BoardAddress
from web.boards.views import board_access, board_for_update
from web.tasks.edit_views import render_task_conflict
from web.tasks.edited_fields import list_edited_fields
from web.tasks.views import redirect_to_task
from web.ui import forms, time_format
from web.ui.edited_fields import check_edit
from web.ui.layout import load_layout
from web.ui.render import render_in_thread, render_page
from web.ui.text_comparison import TextComparison
from web.ui.translation import _


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
            texts = await tasks.load_description_texts(
                source, access.board, task_id, [version.id for version in pair]
            )
            context = _build_version(versions, shown, texts)
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
            sent = {"description": text or None}
            await tasks.update_task(session, request.user, board, task_id, sent)
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
    raise NotFound("description_version_not_found", _("There is no such version any more."))


def _build_version(
    versions: Sequence[DescriptionVersion], shown: int, texts: Mapping[UUID, str]
) -> dict[str, Any]:
    """Return a version with its text, and its differences from the one before it."""
    version = versions[shown]
    text = texts.get(version.id, "")
    has_previous = shown + 1 < len(versions)
    previous = texts.get(versions[shown + 1].id, "") if has_previous else ""
    return {
        "version": version,
        "text": text,
        "has_previous": has_previous,
        "comparison": TextComparison(previous, text),
    }
