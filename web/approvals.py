"""Needs you: the questions that wait for an answer, and answering them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import settings_of, transaction
from models import ApprovalStatus
from services import approvals
from services.approvals import ApprovalDetail
from web import forms, inbox_lists
from web.editors import put_in_place
from web.html import render, wants_part
from web.inbox import InboxAddress, Row
from web.inbox_page import (
    Toast,
    answered_before,
    asked_in_inbox,
    asked_on_task,
    of_task,
    shown,
    undo_toast,
    view_of,
)


class Decision(BaseModel):
    """An answer to a question."""

    status: Literal["approved", "rejected"]
    note: Annotated[str | None, forms.OrNothing] = None


async def index(request: Request) -> Response:
    """Show which questions wait, and on a wide screen the first of them in full."""
    return await shown(request)


async def show(request: Request) -> Response:
    """Show a question in full. One that was answered without scripts can be taken back there."""
    toast = await answered_before(request)
    return await shown(request, selected=_id_in(request), view="detail", toast=toast)


async def of_board(request: Request) -> Response:
    """Lead to the questions of a board."""
    return RedirectResponse(f"/approvals?board={request.path_params['board_id']}", 303)


async def answer(request: Request) -> Response:
    """Answer a question, and show the next. For a few seconds the answer can be taken back."""
    form, approval_id = await forms.read(request), _id_in(request)
    with form.refusals():
        wanted = form.into(Decision)
        async with transaction(request) as session:
            detail = await approvals.answer(
                session,
                request.user,
                approval_id,
                status=ApprovalStatus(wanted.status),
                note=wanted.note,
                undo_seconds=settings_of(request).approval_undo_seconds,
            )
            asked_at = detail.approval.created_at
            following = await inbox_lists.next_after(request, session, asked_at)
        return await _answered(request, form, detail, following)
    return await _again(request, approval_id, form)


async def undo(request: Request) -> Response:
    """Take an answer back that has not settled yet."""
    form, approval_id = await forms.read(request), _id_in(request)
    with form.refusals():
        async with transaction(request) as session:
            await approvals.undo(session, request.user, approval_id)
        return await _again(request, approval_id, form, {"text": "Taken back. It waits again."})
    return await _again(request, approval_id, form, _refusal(form))


async def reopen(request: Request) -> Response:
    """Set a question that was answered back to waiting."""
    form, approval_id = await forms.read(request), _id_in(request)
    with form.refusals():
        async with transaction(request) as session:
            await approvals.reopen(session, request.user, approval_id)
        return await _again(request, approval_id, form, {"text": "Reopened. It waits again."})
    return await _again(request, approval_id, form)


async def ask_back(request: Request) -> Response:
    """Ask the one who asks. The question stays open."""
    form, approval_id = await forms.read(request), _id_in(request)
    with form.refusals():
        typed = form.value("question")
        async with transaction(request) as session:
            await approvals.ask_back(session, request.user, approval_id, question=typed)
        return await _again(request, approval_id, forms.Form(), {"text": "Asked, on the task."})
    response = await _again(request, approval_id, form)
    if form.error("question") and asked_in_inbox(request):
        put_in_place(response, f"#ask-back-{approval_id}")
    return response


async def _answered(
    request: Request, form: forms.Form, detail: ApprovalDetail, following: Row | None
) -> Response:
    toast = undo_toast(detail)
    if not wants_part(request):
        return _on(form, detail, following)
    if asked_on_task(request):
        return await of_task(request, detail.approval.id, form, toast)
    view = view_of(request) if following else "list"
    response = await shown(
        request,
        selected=following.id if following else None,
        there=bool(following and following.request),
        view=view,
        toast=toast,
        moved=True,
    )
    if view_of(request) == "detail":
        path = following.path if following else "/approvals"
        response.headers["HX-Push-Url"] = path + InboxAddress.of(request).but(selected="", until=0)
    return response


def _on(form: forms.Form, detail: ApprovalDetail, following: Row | None) -> Response:
    """Send a browser without scripts on: to the task where it was asked, or the next question."""
    task_id = forms.id_in(form.value("task"))
    if task_id:
        return RedirectResponse(f"/boards/{detail.board.id}/tasks/{task_id}", 303)
    here = following.path if following else f"/approvals/{detail.approval.id}"
    return RedirectResponse(f"{here}?answered={detail.approval.id}", 303)


async def _again(
    request: Request, approval_id: UUID, form: forms.Form, toast: Toast | None = None
) -> Response:
    """Show the same question as it stands now, where it was asked about."""
    if not wants_part(request):
        if form.status < 400:
            return RedirectResponse(f"/approvals/{approval_id}", 303)
        return await shown(request, selected=approval_id, view="detail", form=form)
    if asked_on_task(request):
        return await of_task(request, approval_id, form, toast)
    if asked_in_inbox(request):
        view = view_of(request)
        return await shown(request, selected=approval_id, view=view, form=form, toast=toast)
    response = render(request, "_said.html", form.status, toast=toast)
    response.headers["HX-Trigger"] = "approvals, tasks"
    return response


def _refusal(form: forms.Form) -> Toast:
    return {"text": form.problem, "tone": "danger"}


def _id_in(request: Request) -> UUID:
    approval_id: UUID = request.path_params["approval_id"]
    return approval_id
