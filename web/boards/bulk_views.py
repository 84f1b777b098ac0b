"""Change and delete several tasks of a board, and undo it; the menu of a card uses it for one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.engine import is_temporary_error
from core.errors import AppError, Invalid, Unavailable
from core.http.middleware import log_error
from core.http.request import Session, open_reader, open_transaction
from models import Board, Status, new_id
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
from web.boards.forms import read_task_values
from web.boards.list_groups import list_matching_ids
from web.boards.query_parameters import BoardAddress
from web.boards.views import (
    board_access,
    board_for_update,
    build_change_toast,
    load_board_context,
    render_board,
)
from web.ui import forms, time_format
from web.ui.flash_cookies import redirect_with_notice
from web.ui.locale_format import describe_error
from web.ui.render import is_part_request, render_part
from web.ui.translation import N_, _, ngettext

MAX_CONFIRMED = 50  # tasks in the confirmation of a move to Done
MAX_TITLES = 3  # of the tasks with one reason


class BulkChangeForm(BaseModel):
    """The selected tasks or the first `all` that match, and what changes beside their fields."""

    ids: list[UUID] = Field(default=[], max_length=tasks.MAX_BULK_TASKS)
    all: int = Field(default=0, ge=0, le=tasks.MAX_BULK_TASKS)
    add_tag: list[UUID] = []
    remove_tag: list[UUID] = []
    delete: forms.Switch = False
    set_due: forms.Switch = False  # to `new_due_at`, a field that every button of the bar sends


async def change_tasks(request: Request) -> Response:
    """Change or delete the selected tasks one by one, and show the board.

    What was changed leaves the selection; the others stay selected and show why.
    """
    form = await forms.read_form(request)
    if "all" in form.values:
        form.values.pop("ids", None)
    given = form.parse(BulkChangeForm)
    if given.set_due:
        form.values["due_at"] = form.values.get("new_due_at", [""])
    changeable = {"status", "priority", "due_at", "assignee", "add_tag", "remove_tag", "delete"}
    if not (given.ids or given.all) or changeable.isdisjoint(form.values):
        raise Invalid("nothing_to_change", N_("Change at least one thing."))
    values = read_task_values(form, time_format.get_time_zone(request.user.timezone))
    fields = form.parse(TaskUpdate, values).without({"title", "description", "tag_ids"})
    change = BulkChange(
        fields=fields,
        added_tag_ids=given.add_tag,
        removed_tag_ids=given.remove_tag,
        is_deletion=given.delete,
    )
    ids = await _list_matching(request, given.all) if given.all else list(dict.fromkeys(given.ids))
    change_id = new_id()

    async def change_next(session: Session, board: Board, done: int) -> list[BulkResult]:
        batch = ids[done : done + tasks.TASKS_AT_ONCE]
        return await tasks.change_tasks(session, request.user, board, change_id, batch, change)

    results: list[BulkResult] = []
    board: Board | None = None
    while len(results) < len(ids) or board is None:
        try:
            async with open_transaction(request) as session:
                locked = await board_for_update(request, session)
                changed = await change_next(session, locked, len(results))
            board = locked  # one that is rolled back has no values
        except Exception as error:
            if board is None or not results:
                raise
            changed = _fail_others(request, ids[len(results) :], error)
        results += changed
    to_confirm = list_to_confirm(results)[:MAX_CONFIRMED] if fields.status is Status.DONE else []
    return await _render_results(
        request, board, change_id, results, to_confirm, is_deletion=given.delete
    )


def _fail_others(request: Request, ids: Sequence[UUID], error: Exception) -> list[BulkResult]:
    """Return why tasks were not changed after others were, so that these are reported.

    The error is a right that was lost, for example, or that of a database that does not answer.
    Others are raised.
    """
    reason = log_error(request.scope, error) if is_temporary_error(error) else error
    if not isinstance(reason, AppError):
        raise error
    return [BulkResult(id, reason) for id in ids]


async def _list_matching(request: Request, number: int) -> list[UUID]:
    """Return the first tasks that the address matches, as many as the bar has named."""
    address = BoardAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        return await list_matching_ids(source, access.board, address, limit=number)


async def undo_change(request: Request) -> Response:
    """Undo a change of several tasks, as far as the rules allow it now."""
    change_id = forms.path_id(request, "change_id")
    results: list[BulkResult] = []
    remaining: Sequence[UUID] = ()
    while remaining or not results:
        try:
            async with open_transaction(request) as session:
                board = await board_for_update(request, session)
                undone, rest = await tasks.undo_change(session, request.user, board, change_id)
        except Exception as error:
            if not results:
                raise
            undone, rest = _fail_others(request, remaining, error), []
        results += undone
        remaining = rest
    failed = [one for one in results if one.error]
    restored = len(results) - len(failed)
    text = ngettext("Undone: %(num)d task", "Undone: %(num)d tasks", restored)
    titles = await _load_titles(request, failed)
    toast: dict[str, Any] = {"text": text}
    if failed:
        not_undone = ngettext("%(num)d task not undone.", "%(num)d tasks not undone.", len(failed))
        reasons = describe_failures(failed, titles)
        toast = {"text": " ".join([f"{text}.", not_undone, *reasons]), "tone": "danger"}
    if any(isinstance(one.error, Unavailable) for one in failed):
        toast["undo"] = f"{request.url.path}?{request.url.query}".removesuffix("?")
    if not (is_part_request(request) or failed):
        query = BoardAddress.from_query(request.query_params).query
        return redirect_with_notice(request, f"/boards/{board.id}{query}", text)
    if not is_part_request(request):
        return await render_board(request, toasts=[toast])
    response = render_part(request, "_toast.html", toast=toast)
    response.headers["HX-Trigger"] = "tasks"
    return response


async def _load_titles(request: Request, failed: Sequence[BulkResult]) -> dict[UUID, str]:
    """Load the titles of tasks that are on the board."""
    if not failed:
        return {}
    async with open_reader(request) as source:
        board = (await board_access(request, source)).board
        found = await tasks.load_task_details(source, board, [one.task_id for one in failed])
    return {id: detail.task.title for id, detail in found.items()}


async def _render_results(
    request: Request,
    board: Board,
    change_id: UUID,
    results: Sequence[BulkResult],
    to_confirm: Sequence[UUID],
    *,
    is_deletion: bool,
) -> Response:
    """Render the board with the reasons of what was not changed, and a toast.

    Without scripts, tasks that only need an approval are confirmed on a page.
    """
    done = [one.task_id for one in results if one.is_changed and not one.error]
    failed = [one for one in results if one.error]
    rejected_moves, confirmation = await load_rejections(
        request, failed, to_confirm=to_confirm, is_selected=True
    )
    status_code = 200 if len(failed) < len(results) else 409
    is_part = is_part_request(request)
    if not is_part and confirmation is not None and len(confirmation.offers) == len(failed):
        path = f"/boards/{board.id}/completions{confirmation.query}"
        return RedirectResponse(path, 303)
    if done and not (is_part or failed):
        return redirect_to_board(request, changed=change_id)
    offered = set(to_confirm) if confirmation is not None and is_part else set()
    unoffered = [one for one in failed if one.task_id not in offered]
    async with open_reader(request) as source:
        change = await tasks.find_undoable_change(source, request.user, board, change_id)
    toast = build_change_toast(request, board, change, len(done), is_deletion=is_deletion)
    if unoffered:
        text = ngettext("%(num)d task not changed.", "%(num)d tasks not changed.", len(unoffered))
        parts = [f"{toast['text']}."] if done else []
        reasons = describe_failures(unoffered, await _load_titles(request, unoffered))
        toast |= {"text": " ".join([*parts, text, *reasons]), "tone": "danger"}
    if not is_part:
        return await render_board(
            request, rejected_moves=rejected_moves, status_code=status_code, toasts=[toast]
        )
    context = await load_board_context(request, rejected_moves)
    return render_part(
        request,
        "boards/_view_update.html",
        status_code,
        toast=toast if done or unoffered or not failed else {},
        confirmation=confirmation,
        whole="#board-view",
        **context,
    )


def list_to_confirm(results: Sequence[BulkResult]) -> list[UUID]:
    """Return the tasks that were not moved to Done because nobody has approved it."""
    return [one.task_id for one in results if needs_approval(one.error)]


def describe_failures(failed: Sequence[BulkResult], titles: Mapping[UUID, str]) -> list[str]:
    """Return the reasons why tasks were not changed, each with the titles of some of them."""
    by_reason: dict[str, list[str]] = {}
    for one in failed:
        named = by_reason.setdefault(describe_error(one.error) if one.error else "", [])
        named.append(titles.get(one.task_id, ""))
    described = []
    for reason, of_reason in sorted(by_reason.items()):
        shown = [_("“%(title)s”", title=title) for title in of_reason if title][:MAX_TITLES]
        more = len(of_reason) - len(shown)
        if shown and more:
            shown.append(ngettext("%(num)d more", "%(num)d more", more))
        described.append(f"{reason} ({', '.join(shown)})" if shown else reason)
    return described


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


def redirect_to_board(request: Request, changed: UUID | None = None) -> Response:
    """Redirect to the board of the path as its address shows it, with an offer to undo a change."""
    query = BoardAddress.from_query(request.query_params).query
    if changed is not None:
        query += f"{'&' if query else '?'}changed={changed}"
    return RedirectResponse(f"/boards/{forms.path_id(request, 'board_id')}{query}", 303)
