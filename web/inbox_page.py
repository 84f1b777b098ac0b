"""Showing "Needs you": as a page, as the part of it that changes, or as the ask on a task."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from kit.http import transaction
from services import approvals, boards
from services.approvals import ApprovalDetail
from web import forms, inbox_lists
from web import frame as frames
from web.auth import member_of
from web.html import page, render, wants_part

Toast = dict[str, Any]


async def shown(
    request: Request,
    *,
    selected: UUID | None = None,
    there: bool = False,
    view: str = "list",
    form: forms.Form | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    """Show the lists and a question: as a page, or to htmx as the part that changes.

    `more` may hold `toast`, `problems` (by question), `confirm` (questions to look at once more)
    and `moved` (whether the focus goes to the question that is shown now). `there` says that the
    question is asked on a gateway.
    """
    form, part, problems = form or forms.Form(), wants_part(request), more.pop("problems", None)
    frame = None if part else await frames.load(request)
    async with transaction(request) as session:
        found = await inbox_lists.look(
            request, session, selected=selected, there=there, view=view, problems=problems
        )
    context: dict[str, Any] = {
        "inbox": found,
        "form": form,
        "confirm": [],
        "moved": False,
        "toast": None,
    } | more
    status = max(status, form.status)
    if frame is None:
        return render(request, "approvals/_answer.html", status, **context)
    toasts = [context["toast"]] if context["toast"] else []
    return page(
        request, "approvals/index.html", frame=frame, status=status, toasts=toasts, **context
    )


async def of_task(
    request: Request, approval_id: UUID, form: forms.Form, toast: Toast | None = None
) -> Response:
    """Show a question as it is asked on its task."""
    async with transaction(request) as session:
        detail = await approvals.detail_for(session, member_of(request), approval_id)
        access = await boards.access(session, request.user, detail.board.id)
    return render(
        request,
        "approvals/_ask_answer.html",
        form.status,
        question=detail,
        can_write=access.can_write,
        form=form,
        toast=toast,
    )


def asked_on_task(request: Request) -> bool:
    """Whether it was on a task that htmx asked from."""
    return "#ask-" in request.headers.get("HX-Target", "")


def asked_in_inbox(request: Request) -> bool:
    """Whether it was from the lists, or the question beside them, that htmx asked."""
    return request.headers.get("HX-Target", "").endswith("#inbox")


def view_of(request: Request) -> str:
    """Say what a phone shows of the page from which htmx asks: its list, or a question."""
    path = urlsplit(request.headers.get("HX-Current-URL", "")).path
    return "detail" if path.startswith("/approvals/") else "list"


async def answered_before(request: Request) -> Toast | None:
    """Say what was answered on the page before, without scripts, while it can be taken back."""
    answered = forms.id_in(request.query_params.get("answered"))
    if answered is None:
        return None
    async with transaction(request) as session:
        detail = await approvals.detail_for(session, member_of(request), answered)
    return undo_toast(detail) if detail.is_settling else None


def undo_toast(detail: ApprovalDetail) -> Toast:
    """Say what was answered, and offer to take it back while that is possible."""
    said = f"{detail.answer.value.capitalize()}. {detail.question}"
    if not detail.is_settling:
        return {"text": said}
    return {"text": said, "undo": f"/approvals/{detail.approval.id}/undoings"}
