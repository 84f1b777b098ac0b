"""The trash of a board: its deleted tasks, and the forms that restore or purge them."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.errors import NotFound
from core.http.request import get_settings, open_reader, open_transaction
from models import Board
from services import boards, tasks
from services.tasks import BulkResult
from web.auth.viewer import current_member
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_access, board_for_update
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.list_addresses import KeysetTable, TableOrder, parse_place
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _, ngettext


class RestoreForm(BaseModel):
    """The tasks to restore."""

    task_ids: list[UUID] = Field(default=[], max_length=200)


class PurgeForm(RestoreForm):
    """The tasks to delete permanently; `confirmed` after the user has seen which."""

    confirmed: bool = False


async def show_trash(request: Request) -> Response:
    """Show the deleted tasks of a board; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        place = parse_place(request.query_params)
        page, total = await tasks.list_trashed_tasks(source, access.board, place)
    path = f"/boards/{access.board.id}/trash"
    context: dict[str, Any] = {
        "board": access.board,
        "can_write": access.can_write,
        "may_purge": access.can_write and access.is_admin,
        "table": KeysetTable(TableOrder(path, "", ""), place, page, total),
        "viewer_id": request.user.id,
        "lifetime": timedelta(days=get_settings(request).trash_retention_days),
    }
    if layout is None:
        return render_part(request, "trash/_list.html", **context)
    return render_page(
        request, "trash/index.html", layout=layout, **context, **_read_results(request)
    )


async def render_trashed_task(request: Request) -> Response:
    """Say that a task was deleted, also on a page that still shows it. Raises NotFound."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        task_id = forms.path_id(request, "task_id")
        found = await tasks.find_trashed_task(source, access.board, task_id)
    if found is None:
        raise NotFound("task_not_found", N_("There is no such task."))
    is_page = layout is not None or request.headers.get("HX-Target", "").endswith("#task")
    context: dict[str, Any] = {
        "board": access.board,
        "trashed": found,
        "can_write": access.can_write,
        "viewer_id": request.user.id,
        "address": BoardAddress.from_query(request.query_params),
        "in_drawer": not is_page,
    }
    if layout is None:
        return render_part(request, "tasks/_trashed.html", **context)
    return render_page(request, "tasks/trashed.html", layout=layout, status=404, **context)


async def purge_tasks(request: Request) -> Response:
    """Delete the selected tasks permanently, after a page has asked. Raises Forbidden."""
    form = await forms.read_form(request)
    fields = form.parse(PurgeForm)
    async with open_transaction(request) as session:
        board_id = forms.path_id(request, "board_id")
        board = await boards.lock_board_as_admin(session, current_member(request), board_id)
        found = await tasks.list_trashed_titles(session, board, fields.task_ids)
        if fields.confirmed or not found:
            purged = await tasks.purge_tasks(session, request.user, board, fields.task_ids)
            return RedirectResponse(f"/boards/{board.id}/trash?deleted={purged}", 303)
    layout = await load_layout(request)
    return render_page(request, "trash/deletion.html", layout=layout, board=board, names=found)


async def restore_tasks(request: Request) -> Response:
    """Restore the selected tasks, and show the trash with the result."""
    form = await forms.read_form(request)
    fields = form.parse(RestoreForm)
    left, results = list(dict.fromkeys(fields.task_ids)), list[BulkResult]()
    board: Board | None = None
    while left or board is None:
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            results += await tasks.restore_tasks(session, request.user, board, left)
            missing = [one.task_id for one in results if one.error]
            existing = await tasks.load_task_details(session, board, missing)
        done = {one.task_id for one in results}
        left = [id for id in left if id not in done]
    restored = [one.task_id for one in results if not one.error]
    counts: dict[str, object] = {
        "restored": len(restored),
        "task": restored[0] if len(restored) == 1 else 0,
        "earlier": len(existing),
        "purged": len(missing) - len(existing),
    }
    query = {name: value for name, value in counts.items() if value} or {"restored": 0}
    return RedirectResponse(f"/boards/{board.id}/trash?{urlencode(query)}", 303)


def _read_results(request: Request) -> dict[str, Any]:
    """Say what became of the tasks that a form has selected."""
    query = request.query_params
    restored, earlier, purged, deleted = (
        forms.parse_number(query.get(name)) for name in ("restored", "earlier", "purged", "deleted")
    )
    problems = []
    if earlier:
        problems.append(
            ngettext(
                "%(num)d task was already restored by somebody else.",
                "%(num)d tasks were already restored by somebody else.",
                earlier,
            )
        )
    if purged:
        problems.append(
            ngettext(
                "%(num)d task can no longer be restored: it was deleted permanently.",
                "%(num)d tasks can no longer be restored: they were deleted permanently.",
                purged,
            )
        )
    if "deleted" in query and not deleted:
        problems.append(_("Nothing was deleted: no task was selected."))
    if "restored" in query and not (restored or problems):
        problems.append(_("Nothing was restored: no task was selected."))
    return {
        "restored": ngettext("%(num)d task restored.", "%(num)d tasks restored.", restored)
        if restored
        else "",
        "deleted": ngettext(
            "%(num)d task deleted permanently.", "%(num)d tasks deleted permanently.", deleted
        )
        if deleted
        else "",
        "restored_id": forms.parse_id(query.get("task")),
        "problems": problems,
    }


TRASH_ROUTES: list[Route] = [
    Route("/boards/{board_id:uuid}/trash/deletions", show_trash),
    Route("/boards/{board_id:uuid}/trash", show_trash),
    Route("/boards/{board_id:uuid}/trash/restorations", restore_tasks, methods=["POST"]),
    Route("/boards/{board_id:uuid}/trash/deletions", purge_tasks, methods=["POST"]),
]
