"""Answering several questions at once."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import Refusal
from kit.http import settings_of, transaction
from models import ApprovalStatus
from services import approvals
from services.approvals import ApprovalDetail, Outcome
from web import forms
from web.auth import member_of
from web.html import render, wants_part
from web.inbox import LOW
from web.inbox_page import asked_in_inbox, shown, view_of

MOST = 200  # answers at once


class Decisions(BaseModel):
    """The same answer to several questions."""

    ids: list[UUID] = Field(default=[], max_length=MOST)
    status: Literal["approved", "rejected"]
    sure: forms.Switch = False


async def answer_many(request: Request) -> Response:
    """Answer the questions that were ticked, each for itself.

    Before an agent is approved that was not very sure, the person is asked once.
    """
    form = await forms.read(request)
    wanted = form.into(Decisions)
    doubtful = [] if wanted.sure else await _doubtful(request, wanted)
    if doubtful:
        return await shown(request, view=view_of(request), confirm=doubtful, form=form)
    async with transaction(request) as session:
        outcomes = await approvals.answer_many(
            session,
            request.user,
            wanted.ids,
            status=ApprovalStatus(wanted.status),
            undo_seconds=settings_of(request).approval_undo_seconds,
        )
    if not wants_part(request) and all(one.detail for one in outcomes):
        return RedirectResponse("/approvals", 303)
    problems = {one.approval_id: one.refusal.message for one in outcomes if one.refusal}
    return await shown(
        request, view=view_of(request), problems=problems, toast=_toast(wanted, outcomes)
    )


async def undo_many(request: Request) -> Response:
    """Take several answers back, as far as they have not settled yet."""
    form = await forms.read(request)
    ids = [id for text in form.value("ids").split(",")[:MOST] if (id := forms.id_in(text))]
    undone = [await _undone(request, id) for id in ids]
    count = sum(undone)
    toast = {"text": f"{count} taken back" if all(undone) else f"{count} of {len(ids)} taken back"}
    if not wants_part(request):
        return RedirectResponse("/approvals", 303)
    if asked_in_inbox(request):
        return await shown(request, view=view_of(request), toast=toast)
    response = render(request, "_said.html", toast=toast)
    response.headers["HX-Trigger"] = "approvals, tasks"
    return response


async def _undone(request: Request, approval_id: UUID) -> bool:
    try:
        async with transaction(request) as session:
            await approvals.undo(session, request.user, approval_id)
    except Refusal:
        return False
    return True


async def _doubtful(request: Request, wanted: Decisions) -> list[ApprovalDetail]:
    """Return the ticked questions, the least sure first, if one of them needs a second look."""
    if wanted.status != "approved":
        return []
    async with transaction(request) as session:
        waiting = await approvals.waiting(session, member_of(request), among=wanted.ids)
    ticked = sorted(waiting, key=lambda one: one.approval.confidence)
    return ticked if ticked and ticked[0].approval.confidence < LOW else []


def _toast(wanted: Decisions, outcomes: list[Outcome]) -> dict[str, Any]:
    done = [one for one in outcomes if one.detail]
    said = f"{len(done)} {wanted.status}"
    if len(done) < len(outcomes):
        why = {one.refusal.message for one in outcomes if one.refusal}
        said = " ".join([f"{len(done)} of {len(outcomes)} {wanted.status}.", *sorted(why)])
    settling = [str(one.approval_id) for one in done if one.detail and one.detail.is_settling]
    if not settling:
        return {"text": said}
    return {"text": said, "undo": "/approvals/undoings", "fields": {"ids": ",".join(settling)}}
