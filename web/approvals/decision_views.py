"""Pages that decide approvals, one or several at a time."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Invalid, RecentSignInRequired
from core.fields import BlankToNone
from core.http.request import Session, get_settings, open_reader, open_transaction
from models import ApprovalStatus, Member
from services import approvals, inbox, tool_calls
from services.approvals import ApprovalDetail, DecisionResult, Note, UndoneNote
from services.inbox import NextItem, WaitingOrder
from services.tool_calls import GrantScope
from web.approvals import presenter, toasts
from web.approvals.inbox import InboxItem
from web.approvals.query_parameters import InboxAddress
from web.approvals.toasts import Toast
from web.approvals.tool_calls import build_edit, read_edited_input
from web.approvals.views import (
    current_view,
    is_awaited_decision,
    is_from_inbox,
    is_from_task,
    is_from_toast,
    render_inbox,
    render_next,
    render_task_approval,
    render_undone,
)
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.locale_format import describe_error
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_part, retarget
from web.ui.text_display import LOW_CONFIDENCE
from web.ui.translation import N_, _


class DecisionForm(BaseModel):
    """A decision with an optional note.

    It approves with more than that in some cases: `completed` moves the tasks to done, `session`
    and `task` also allow identical tool calls, `always` adds a rule, and `edited` replaces the
    input.
    """

    status: Literal["approved", "completed", "rejected", "session", "task", "always", "edited"]
    edited_input: str = ""  # a command, or an object as JSON
    note: Annotated[Note | None, BlankToNone] = None
    restored_note: str = ""  # of an undone decision, with which the page filled the field
    restored_status: Annotated[ApprovalStatus | None, BlankToNone] = None
    series: str = ""  # ids of earlier decisions that the page offers to undo
    complete: forms.Switch = False  # whether the page showed the complete content
    action_hash: str = ""  # of what the page showed; not needed to reject
    completes_tasks: forms.Switch = False

    @property
    def is_approved(self) -> bool:
        """Return whether the approval is approved."""
        return self.status != "rejected"

    @property
    def decision(self) -> ApprovalStatus:
        """Return the decision."""
        return ApprovalStatus.APPROVED if self.is_approved else ApprovalStatus.REJECTED

    @property
    def own_note(self) -> str | None:
        """Return the note without one that was restored from another decision."""
        status = self.restored_status
        restored = UndoneNote(self.restored_note, status) if status else None
        return approvals.choose_note_to_store(self.note, self.decision, restored)


async def decide_approval(request: Request) -> Response:
    """Decide an approval, and show the next item. The decision can be undone for some seconds."""
    form, approval_id = await forms.read_form(request), forms.path_id(request, "approval_id")
    with form.catch_errors():
        fields = form.parse(DecisionForm)
        if fields.is_approved:
            _require_hash(fields.action_hash)
        async with open_transaction(request) as session:
            member = current_member(request)
            if fields.is_approved and not fields.complete:
                await _check_opened(session, member, approval_id)
            detail = await _decide(request, session, approval_id, fields)
            is_awaited = await is_awaited_decision(session, detail)
            earlier = await approvals.list_undoable_decisions(
                session, member, toasts.parse_series(fields.series)
            )
            address = InboxAddress.from_query(request.query_params)
            following = await inbox.list_next_items(
                session, member, address.listed, WaitingOrder(address.order), approval_id
            )
        toast = toasts.build_decision_toast(
            detail, earlier, answer=fields.status, is_awaited=is_awaited
        )
        return await _render_decided(request, form, detail, following, toast)
    return await _render_approval(request, approval_id, form)


async def _decide(
    request: Request, session: Session, approval_id: UUID, fields: DecisionForm
) -> ApprovalDetail:
    """Make the decision of a form."""
    member = current_member(request)
    decision: dict[str, Any] = {
        "note": fields.own_note,
        "action_hash": fields.action_hash,
        "signed_in_at": request.auth.sign_in.authenticated_at,
        "undo_seconds": get_settings(request).approval_undo_seconds,
    }
    if fields.status in list(GrantScope):
        scope = GrantScope(fields.status)
        return await tool_calls.approve_for(session, member.user, approval_id, scope, **decision)
    if fields.status == toasts.ALWAYS:
        return await tool_calls.approve_always(session, member, approval_id, **decision)
    if fields.status == "edited":
        detail = await approvals.get_member_approval(session, member, approval_id)
        edited = read_edited_input(detail, fields.edited_input)
        return await tool_calls.approve_with_edit(
            session, member.user, approval_id, edited, **decision
        )
    return await approvals.decide_with_undo(
        session,
        member.user,
        approval_id,
        status=fields.decision,
        completes_tasks=fields.completes_tasks or None,
        moves_tasks_to_done=fields.status == "completed",
        **decision,
    )


async def preview_edit(request: Request) -> Response:
    """Show how an edited input differs from the requested one; nothing is decided."""
    allow_repetition(request)
    form, approval_id = await forms.read_form(request), forms.path_id(request, "approval_id")
    edit = None
    with form.catch_errors():
        async with open_reader(request) as source:
            detail = await approvals.get_member_approval(
                source, current_member(request), approval_id
            )
        edit = build_edit(detail, form)
    view = current_view(request) if is_part_request(request) else "detail"
    return await render_inbox(request, selected=approval_id, view=view, form=form, edit=edit)


def _require_hash(action_hash: str) -> None:
    """Raise Invalid for a form that approves something, but does not say what it showed."""
    if not action_hash.strip():
        message = N_("This form does not say what it showed. Read the request again, then approve.")
        raise Invalid("action_hash_required", message)


async def _check_opened(session: Session, member: Member, approval_id: UUID) -> None:
    """Raise Invalid for an approval that a page cannot show without opening everything."""
    unopened = await presenter.find_unopened(session, member, [approval_id])
    if approval_id in unopened:
        raise unopened[approval_id]


async def undo_decision(request: Request) -> Response:
    """Undo a decision that is not final yet."""
    form, approval_id = await forms.read_form(request), forms.path_id(request, "approval_id")
    with form.catch_errors():
        async with open_transaction(request) as session:
            await approvals.undo_decision(session, request.user, approval_id)
        toast = {"text": _("Undone. Pending again."), "about": [approval_id]}
        if is_from_toast(request):
            return await render_undone(request, approval_id, toast)
        return await _render_approval(request, approval_id, form, toast)
    toast = {**_error_toast(form), "about": [approval_id]}
    return await _render_approval(request, approval_id, form, toast)


class QuestionForm(BaseModel):
    """A question to the requester."""

    question: Note = ""


async def request_clarification(request: Request) -> Response:
    """Ask the requester a question. The approval stays undecided."""
    form, approval_id = await forms.read_form(request), forms.path_id(request, "approval_id")
    with form.catch_errors():
        fields = form.parse(QuestionForm)
        async with open_transaction(request) as session:
            await approvals.request_clarification(
                session, request.user, approval_id, question=fields.question
            )
        return await _render_approval(
            request, approval_id, forms.Form(), {"text": _("Question posted on the task.")}
        )
    response = await _render_approval(request, approval_id, form)
    if form.error("question") and is_from_inbox(request):
        retarget(response, f"#ask-back-{approval_id}")
    return response


async def _render_decided(
    request: Request,
    form: forms.Form,
    detail: ApprovalDetail,
    following: Sequence[NextItem],
    toast: Toast,
) -> Response:
    next_item = following[0] if following else None
    if not is_part_request(request):
        return _redirect_next(request, form, detail, next_item)
    if is_from_task(request):
        return await render_task_approval(request, detail.approval.id, form, toast)
    if next_item and is_from_inbox(request):
        response = await render_next(request, following, detail, toast)
    else:
        response = await render_inbox(
            request,
            selected=next_item.id if next_item else None,
            on_gateway=bool(next_item and next_item.is_request),
            view=current_view(request) if next_item else "list",
            toast=toast,
            moved=True,
        )
    if current_view(request) == "detail":
        path = _build_path(next_item) if next_item else "/approvals"
        query = InboxAddress.from_query(request.query_params).query_with(selected="")
        response.headers["HX-Replace-Url"] = path + query
    return response


def _redirect_next(
    request: Request, form: forms.Form, detail: ApprovalDetail, next_item: NextItem | None
) -> Response:
    """Redirect a browser without scripts to the task of the approval, or to the next item."""
    task_id = forms.parse_id(form.value("task"))
    if task_id:
        return RedirectResponse(f"/boards/{detail.board.id}/tasks/{task_id}", 303)
    path = _build_path(next_item) if next_item else f"/approvals/{detail.approval.id}"
    listed = InboxAddress.from_query(request.query_params).query_with(selected="").lstrip("?")
    answer = f"&answer={quote(form.value('status'))}" if detail.approval.is_tool_call else ""
    query = "&".join(filter(None, [f"answered={detail.approval.id}{answer}", listed]))
    return RedirectResponse(f"{path}?{query}", 303)


def _build_path(item: NextItem) -> str:
    return f"/approvals/requests/{item.id}" if item.is_request else f"/approvals/{item.id}"


async def _render_approval(
    request: Request, approval_id: UUID, form: forms.Form, toast: Toast | None = None
) -> Response:
    """Render the current state of an approval where the action was triggered."""
    if not is_part_request(request):
        if form.status < 400:
            return RedirectResponse(f"/approvals/{approval_id}", 303)
        return await render_inbox(request, selected=approval_id, view="detail", form=form)
    if is_from_task(request):
        return await render_task_approval(request, approval_id, form, toast)
    if is_from_inbox(request):
        view = current_view(request)
        return await render_inbox(request, selected=approval_id, view=view, form=form, toast=toast)
    shown = toast or _error_toast(form)
    response = render_part(request, "_toast.html", form.status, toast=shown)
    response.headers["HX-Trigger"] = "inbox, approvals, tasks"
    return response


def _error_toast(form: forms.Form) -> Toast:
    return {"text": form.problem, "tone": "danger"}


class ListedApproval(BaseModel):
    """An approval of a list, and the hash of its content there: `id:hash` in one field."""

    id: UUID
    action_hash: str = ""

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        id, _, action_hash = str(value).partition(":")
        return {"id": id, "action_hash": action_hash}


class BulkDecisionForm(BaseModel):
    """The same decision for several approvals."""

    shown: list[ListedApproval] = Field(default=[], max_length=approvals.MAX_DECISIONS)
    ids: list[ListedApproval] = Field(  # of a form without hashes, which can only reject
        default=[], max_length=approvals.MAX_DECISIONS
    )
    status: Literal["approved", "rejected"]
    sure: forms.Switch = False
    series: str = ""

    @property
    def hashes(self) -> dict[UUID, str]:
        """Return the hash of each selected approval.

        Raises Invalid if none is selected, if one has two hashes, or none and is to be approved.
        """
        selected = [*self.shown, *self.ids]
        if not selected:
            raise Invalid("nothing_selected", N_("Select at least one request, then decide."))
        found: dict[UUID, str] = {}
        for one in selected:
            if self.status == "approved":
                _require_hash(one.action_hash)
            if found.setdefault(one.id, one.action_hash) != one.action_hash:
                raise Invalid("form_invalid", N_("Some fields are not valid."))
        return found


async def decide_approvals(request: Request) -> Response:
    """Decide the selected approvals one by one.

    A confirmation is required before an approval with low confidence is approved. Raises
    RecentSignInRequired if one of them needs it.
    """
    form = await forms.read_form(request)
    fields = form.parse(BulkDecisionForm)
    hashes = fields.hashes
    to_confirm = [] if fields.sure else await _list_unconfident(request, fields.status, hashes)
    if to_confirm:
        return await render_inbox(
            request, view=current_view(request), to_confirm=to_confirm, form=form
        )
    async with open_transaction(request) as session:
        unopened: dict[UUID, Invalid] = {}
        if fields.status == "approved":
            unopened = await presenter.find_unopened(
                session, current_member(request), hashes, listed_hashes=hashes
            )
        results = [DecisionResult(id, error=error) for id, error in unopened.items()]
        results += await approvals.decide_many_with_undo(
            session,
            request.user,
            [id for id in hashes if id not in unopened],
            status=ApprovalStatus(fields.status),
            action_hashes=hashes,
            signed_in_at=request.auth.sign_in.authenticated_at,
            undo_seconds=get_settings(request).approval_undo_seconds,
        )
        _require_sign_in(results)
        series = toasts.parse_series(fields.series)
        earlier = await approvals.list_undoable_decisions(session, current_member(request), series)
    if not is_part_request(request) and all(one.detail for one in results):
        query = InboxAddress.from_query(request.query_params).query
        return RedirectResponse(f"/approvals{query}", 303)
    errors = {one.approval_id: describe_error(one.error) for one in results if one.error}
    toast = toasts.build_bulk_toast(results, ApprovalStatus(fields.status), earlier)
    return await render_inbox(request, view=current_view(request), errors=errors, toast=toast)


def _require_sign_in(results: Sequence[DecisionResult]) -> None:
    """Raise the error of a result that asks the user to sign in; then nothing is decided.

    The user submits the whole selection again after signing in.
    """
    for one in results:
        if isinstance(one.error, RecentSignInRequired):
            raise one.error


async def undo_decisions(request: Request) -> Response:
    """Undo several decisions, as far as they are not final yet."""
    form = await forms.read_form(request)
    ids = toasts.parse_series(form.value("series"))
    results: list[tuple[UUID, AppError | None]] = []
    for id in ids:
        try:
            async with open_transaction(request) as session:
                await approvals.undo_decision(session, request.user, id)
        except AppError as error:
            results.append((id, error))
        else:
            results.append((id, None))
    undone = [id for id, error in results if error is None]
    toast = toasts.build_undo_toast(results)
    if not is_part_request(request):
        return RedirectResponse("/approvals", 303)
    if is_from_inbox(request):
        return await render_inbox(request, view=current_view(request), toast=toast)
    return await render_undone(request, undone[-1] if undone else None, toast)


async def _list_unconfident(
    request: Request, status: str, approval_ids: Collection[UUID]
) -> list[InboxItem]:
    """Return the selected approvals by confidence if one of them needs a confirmation."""
    if status != "approved":
        return []
    async with open_reader(request) as source:
        waiting = await approvals.list_undecided_approvals(
            source, current_member(request), approval_ids=approval_ids
        )
    selected = sorted(waiting, key=lambda one: one.approval.confidence)
    is_confident = not selected or selected[0].approval.confidence >= LOW_CONFIDENCE
    return [] if is_confident else [InboxItem(approval=one) for one in selected]
