"""Change, delete and restore several tasks of a board; the menu of a card uses it for one."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid
from core.http.request import open_reader, open_transaction
from models import Board, Status
from services import tasks
from services.tasks import BulkChange, BulkResult, TaskUpdate
from web.approvals.completions import (
    Confirmation,
    build_confirmation,
    load_completion_offers,
    needs_approval,
)
from web.auth.viewer import current_member
from web.boards.cards import RejectedMove
from web.boards.forms import parse_task_ids, read_task_values
from web.boards.query_parameters import BoardAddress
from web.boards.views import (
    board_access,
    board_for_update,
    build_deleted_toast,
    load_board_context,
    render_board,
)
from web.ui import forms, time_format
from web.ui.locale_format import describe_error
from web.ui.render import is_part_request, render_part
from web.ui.translation import N_, ngettext


class BulkChangeForm(BaseModel):
    """The selected tasks, and what is changed in them beside their fields."""

    ids: list[UUID] = Field(default=[], max_length=tasks.MAX_BULK_TASKS)
    add_tag: list[UUID] = []
    remove_tag: list[UUID] = []
    delete: forms.Switch = False


async def change_tasks(request: Request) -> Response:
    """Change or delete the selected tasks one by one, and show the board.

    What was changed leaves the selection; the others stay selected and show why.
    """
    form = await forms.read_form(request)
    given = form.parse(BulkChangeForm)
    changeable = {"status", "priority", "due_at", "assignee", "add_tag", "remove_tag", "delete"}
    if not given.ids or changeable.isdisjoint(form.values):
        raise Invalid("nothing_to_change", N_("Change at least one thing."))
    values = read_task_values(form, time_format.get_time_zone(request.user.timezone))
    fields = form.parse(TaskUpdate, values).without({"title", "description", "tag_ids"})
    change = BulkChange(
        fields=fields, added_tag_ids=given.add_tag, removed_tag_ids=given.remove_tag
    )
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        if given.delete:
            results = await tasks.delete_tasks(session, request.user, board, given.ids)
        else:
            results = await tasks.update_tasks(session, request.user, board, given.ids, change)
    to_confirm = list_to_confirm(results) if fields.status is Status.DONE else []
    return await _render_results(request, board, results, to_confirm, is_deletion=given.delete)


async def restore_tasks(request: Request) -> Response:
    """Restore deleted tasks."""
    form = await forms.read_form(request)
    ids = parse_task_ids(form.value("ids"))
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        results = await tasks.restore_tasks(session, request.user, board, ids)
    if not is_part_request(request):
        path = f"/boards/{board.id}"
        return RedirectResponse(f"{path}/tasks/{ids[0]}" if len(ids) == 1 else path, 303)
    failed = [one for one in results if one.error]
    restored = len(results) - len(failed)
    text = ngettext("%(num)d task restored", "%(num)d tasks restored", restored)
    toast: dict[str, Any] = {"text": text}
    if failed:
        toast = {"text": " ".join([f"{text}.", *_list_reasons(failed)]), "tone": "danger"}
    response = render_part(request, "_toast.html", toast=toast)
    response.headers["HX-Trigger"] = "tasks"
    return response


async def _render_results(
    request: Request,
    board: Board,
    results: Sequence[BulkResult],
    to_confirm: Sequence[UUID],
    *,
    is_deletion: bool,
) -> Response:
    """Render the board with the reasons of what was not changed, and a toast.

    Without scripts, tasks that only need an approval are confirmed on a page.
    """
    done = [one.task_id for one in results if not one.error]
    failed = [one for one in results if one.error]
    rejected_moves, confirmation = await load_rejections(
        request, failed, to_confirm=to_confirm, is_selected=True
    )
    status_code = 200 if done else 409
    if not is_part_request(request):
        if confirmation is not None and len(confirmation.offers) == len(failed):
            path = f"/boards/{board.id}/completions{confirmation.query}"
            return RedirectResponse(path, 303)
        if failed:
            return await render_board(
                request, rejected_moves=rejected_moves, status_code=status_code
            )
        return redirect_to_board(request, deleted=done if is_deletion else ())
    offered = set(to_confirm) if confirmation is not None else set()
    unoffered = [one for one in failed if one.task_id not in offered]
    toast = _build_toast(board, done, unoffered, is_deletion=is_deletion)
    context = await load_board_context(request, rejected_moves)
    return render_part(
        request,
        "boards/_view_update.html",
        status_code,
        toast=toast,
        confirmation=confirmation,
        whole="#board-view",
        **context,
    )


def list_to_confirm(results: Sequence[BulkResult]) -> list[UUID]:
    """Return the tasks that were not moved to Done because nobody has approved it."""
    return [one.task_id for one in results if needs_approval(one.error)]


def _build_toast(
    board: Board, done: Sequence[UUID], failed: Sequence[BulkResult], *, is_deletion: bool
) -> dict[str, Any]:
    """Build the toast of a change, which says why some tasks were not changed."""
    toast: dict[str, Any] = {}
    if done and is_deletion:
        toast = build_deleted_toast(board.id, done)
    elif done:
        toast = {"text": ngettext("%(num)d task changed", "%(num)d tasks changed", len(done))}
    if failed:
        text = ngettext("%(num)d task not changed.", "%(num)d tasks not changed.", len(failed))
        parts = [f"{toast['text']}."] if toast else []
        toast |= {"text": " ".join([*parts, text, *_list_reasons(failed)]), "tone": "danger"}
    return toast


def _list_reasons(failed: Sequence[BulkResult]) -> list[str]:
    return sorted({describe_error(one.error) for one in failed if one.error})


async def load_rejections(
    request: Request,
    failed: Sequence[BulkResult],
    *,
    to_confirm: Collection[UUID] = (),
    is_selected: bool = False,
    problem: str = "",
) -> tuple[list[RejectedMove], Confirmation | None]:
    """Load what the cards of tasks that were not changed show, and the confirmation to offer.

    `to_confirm` are the tasks that are done once somebody approves it. `problem` is about an
    earlier confirmation.
    """
    if not failed:
        return [], None
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        found = await tasks.load_task_details(source, board, [one.task_id for one in failed])
        member, ids = current_member(request), list(to_confirm)
        offers = await load_completion_offers(source, member, board, ids) if ids else []
    confirmation = build_confirmation(offers, problem)
    if confirmation is not None:
        await confirmation.reveal_texts()
    moves = [
        RejectedMove(
            one.task_id,
            found[one.task_id].task.version,
            one.error.code,
            describe_error(one.error),
            is_selected,
        )
        for one in failed
        if one.error and one.task_id in found
    ]
    obstacles = {one.task_id: one.obstacle for one in offers if one.obstacle}
    if confirmation is not None and is_part_request(request):
        # The dialog has the reason; after it is cancelled, nothing is wrong with the card.
        offered = {one.task_id for one in confirmation.offers}
        moves = [one for one in moves if one.is_selected or one.task_id not in offered]
    return [replace(one, code=obstacles.get(one.task_id, one.code)) for one in moves], confirmation


def redirect_to_board(request: Request, deleted: Sequence[UUID] = ()) -> Response:
    """Redirect to the board of the path as its address shows it, with an offer to restore tasks."""
    query = BoardAddress.from_query(request.query_params).query
    if deleted:
        query += f"{'&' if query else '?'}deleted={','.join(map(str, deleted))}"
    return RedirectResponse(f"/boards/{forms.path_id(request, 'board_id')}{query}", 303)
