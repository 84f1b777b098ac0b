"""The confirmation with which people approve the completion of tasks and move them to Done."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Forbidden, Invalid, RecentSignInRequired
from core.http.request import STATUS_CODES, Session, open_reader, open_transaction
from models import Board
from services import approvals, tasks
from services.tasks import BulkResult, TaskPosition
from web.approvals.completions import (
    MAX_OFFERS,
    Confirmation,
    build_confirmation,
    build_done_approval,
    load_completion_offers,
)
from web.approvals.decision_views import ListedApproval
from web.auth.viewer import current_member
from web.boards.bulk_views import load_rejections, redirect_to_board
from web.boards.forms import parse_task_ids
from web.boards.query_parameters import BoardAddress
from web.boards.views import board_access, board_for_update, load_board_context
from web.tasks.forms import PositionForm
from web.tasks.views import describe_undo, render_task
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.locale_format import describe_error
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, ngettext


class CompletionForm(PositionForm):
    """The tasks to complete with the hashes of what was shown, and the position of a single one."""

    shown: list[ListedApproval] = Field(default=[], max_length=MAX_OFFERS)
    complete: forms.Switch = False  # whether the page showed the complete content


async def show_completions(request: Request) -> Response:
    """Show what would be approved, as a page: without scripts, or with the complete content."""
    task_id = request.path_params.get("task_id")
    ids = [task_id] if task_id else parse_task_ids(request.query_params.get("ids", ""))
    async with open_reader(request) as source:
        access = await board_access(request, source)
        if not access.can_write:
            message = N_("You can read this board but not change it.")
            raise Forbidden("board_write_forbidden", message)
        board = access.board
        offers = await load_completion_offers(
            source,
            current_member(request),
            board,
            ids,
            complete=request.query_params.get("all") == "1",
        )
    confirmation = build_confirmation(offers)
    if confirmation is None:
        return RedirectResponse(_back_path(request, ids), 303)
    await confirmation.reveal_texts()
    return await _render_page(request, board, confirmation)


async def complete_tasks(request: Request) -> Response:
    """Approve and complete the tasks one by one. What has changed meanwhile is shown again."""
    form = await forms.read_form(request)
    fields = form.parse(CompletionForm)
    hashes = {one.id: one.action_hash for one in fields.shown}
    if not hashes:
        raise Invalid("nothing_selected", N_("Select at least one task."))
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        unopened = {} if fields.complete else await _find_unopened(request, session, board, hashes)
        undo: dict[str, Any] = {}
        results = []
        async with tasks.store_undo(session, request.user, board, list(hashes)) as change_id:
            for id, action_hash in hashes.items():
                if id in unopened:
                    results.append(BulkResult(id, unopened[id]))
                    continue
                result, undo = await _complete_one(request, session, board, id, action_hash)
                results.append(result)
        if len(results) == 1 and not results[0].error:
            await tasks.reorder_task(
                session, request.user, board, results[0].task_id, fields.position
            )
    if len(results) > 1:
        query = BoardAddress.from_query(request.query_params).query
        undo = {"undo": f"/boards/{board.id}/changes/{change_id}/undos{query}"}
    return await _render_results(request, board, results, change_id, undo, fields.position)


async def _find_unopened(
    request: Request, session: Session, board: Board, hashes: Mapping[UUID, str]
) -> dict[UUID, AppError]:
    """Return an error for each task whose content is too long to be shown without opening it."""
    offers = await load_completion_offers(session, current_member(request), board, list(hashes))
    message = N_("This page did not show everything. Open the complete content, then approve.")
    return {
        one.task_id: Invalid("content_not_opened", message)
        for one in offers
        if one.view.must_be_opened
    }


async def _complete_one(
    request: Request, session: Session, board: Board, task_id: UUID, action_hash: str
) -> tuple[BulkResult, dict[str, Any]]:
    """Complete a task in a savepoint. Return also what a toast needs to move it back.

    Raises RecentSignInRequired, so that nothing is done before the person has signed in.
    """
    try:
        async with session.begin_nested():
            task = (await tasks.get_task_detail(session, board, task_id)).task
            fields = {**await describe_undo(session, task), "back": "1"}
            await approvals.approve_and_complete(
                session,
                request.user,
                board,
                build_done_approval(task, request.user),
                action_hash=action_hash,
                signed_in_at=request.auth.sign_in.authenticated_at,
            )
    except RecentSignInRequired:
        raise
    except AppError as error:
        return BulkResult(task_id, error), {}
    moves = f"/boards/{board.id}/tasks/{task_id}/moves"
    return BulkResult(task_id), {"undo": moves, "fields": fields}


async def _render_results(
    request: Request,
    board: Board,
    results: Sequence[BulkResult],
    change_id: UUID,
    undo: Mapping[str, Any],
    position: TaskPosition,
) -> Response:
    """Render what the form replaces. What was not completed is offered again, with the reason."""
    ids, failed = [one.task_id for one in results], [one for one in results if one.error]
    errors = [one.error for one in results if one.error]
    problem = " ".join(sorted({describe_error(error) for error in errors}))
    status = 200 if len(errors) < len(results) else STATUS_CODES[type(errors[0])]
    moves, confirmation = await load_rejections(
        request,
        failed,
        to_confirm=[one.task_id for one in failed],
        is_selected=len(results) > 1,
        problem=problem,
    )
    if failed:
        confirmation = confirmation or Confirmation((), problem=problem)
    if not is_part_request(request):
        if confirmation is not None:
            return await _render_page(request, board, confirmation, status)
        if len(ids) > 1:
            return redirect_to_board(request, changed=change_id)
        return RedirectResponse(_back_path(request, ids), 303)
    if "task_id" in request.path_params:
        return await render_task(request, confirmation=confirmation, status=status)
    done = [one.task_id for one in results if not one.error]
    toast = _build_toast(done, undo)
    moved_id = done[0] if len(done) == 1 else None
    context = await load_board_context(request, moves, moved_task_id=moved_id)
    context |= {"confirmation": confirmation, "whole": "#board-view", "drop_position": position}
    return render_part(request, "boards/_view_update.html", status, toast=toast, **context)


def _build_toast(done: Sequence[UUID], undo: Mapping[str, Any]) -> dict[str, Any]:
    if not done:
        return {}
    count = len(done)
    text = ngettext("Approved and moved to Done", "%(num)d approved and moved to Done", count)
    return {"text": text, **undo}


async def _render_page(
    request: Request, board: Board, confirmation: Confirmation, status: int = 200
) -> Response:
    layout = await load_layout(request)
    return render_page(
        request,
        "tasks/completions.html",
        layout=layout,
        status=status,
        board=board,
        confirmation=confirmation,
        whole="",
        address=BoardAddress.from_query(request.query_params),
        back=_back_path(request, [one.task_id for one in confirmation.offers]),
    )


def _back_path(request: Request, task_ids: Sequence[UUID]) -> str:
    """Return the page of the task, or of the board for several tasks."""
    here = f"/boards/{forms.path_id(request, 'board_id')}"
    query = BoardAddress.from_query(request.query_params).query
    return f"{here}/tasks/{task_ids[0]}{query}" if len(task_ids) == 1 else f"{here}{query}"
