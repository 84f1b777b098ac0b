"""Pages of the inbox "Needs you", and of gateway requests."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import Invalid
from core.http.request import get_settings, open_reader, open_transaction
from models import GatewayRequest
from services import approvals, boards, tool_calls
from services.approvals import ApprovalDetail
from services.gateways import requests
from services.gateways.requests import GatewayAnswer
from services.inbox import NextItem
from services.notifications import OpenedPage
from web.approvals import inbox
from web.approvals.inbox import InboxItem
from web.approvals.presenter import load_approval_views
from web.approvals.query_parameters import InboxAddress
from web.approvals.request_content import build_request_content
from web.approvals.toasts import Toast, build_decision_toast
from web.auth.viewer import current_member
from web.notifications.views import mark_page_read
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_

MAX_CHANGED_ROWS = 5  # in one request; for more, the script loads the list
INBOX_PATH = re.compile(r"/approvals(/requests)?(/[0-9a-f-]{36})?")


async def show_inbox(request: Request) -> Response:
    """Show the pending items; on a wide screen also the first one in full."""
    return await render_inbox(request)


async def show_approval(request: Request) -> Response:
    """Show an approval in full, with an undo toast if it was just decided without scripts."""
    approval_id = forms.path_id(request, "approval_id")
    await mark_page_read(request, OpenedPage(approval_id=approval_id))
    toast = await find_decided_toast(request)
    return await render_inbox(request, selected=approval_id, view="detail", toast=toast)


async def show_rows(request: Request) -> Response:
    """Show the rows of approvals that have changed: static/inbox_rows.js puts them in place."""
    texts = request.query_params.getlist("id")[:MAX_CHANGED_ROWS]
    ids = [id for id in map(forms.parse_id, texts) if id is not None]
    address = InboxAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        found = await inbox.load_rows(source, current_member(request), address, ids)
    return render_part(request, "approvals/_changed_rows.html", inbox=found, ids=ids)


async def redirect_to_board_inbox(request: Request) -> Response:
    """Redirect to the inbox filtered by a board."""
    return RedirectResponse(f"/approvals?board={request.path_params['board_id']}", 303)


async def render_inbox(
    request: Request,
    *,
    selected: UUID | None = None,
    on_gateway: bool = False,
    view: str = "list",
    form: forms.Form | None = None,
    status: int = 200,
    address: InboxAddress | None = None,
    **more: Any,
) -> Response:
    """Render the lists and the selected item: as a page, or for htmx the part that changes.

    `more` may contain `toast`, `errors` (by approval), `to_confirm` (approvals that need a second
    look), `edit` (of the input of the selected tool call) and `moved` (whether the focus moves to
    the selected item). `on_gateway` says that the selected item is a gateway request. `address` is
    by default that of the request.
    """
    form, address = form or forms.Form(), address or InboxAddress.from_query(request.query_params)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        found = await inbox.load_inbox(
            source,
            current_member(request),
            address,
            selected=selected,
            on_gateway=on_gateway,
            view=view,
            errors=more.pop("errors", None),
            counts=layout.waiting if layout else None,
            offline_after=get_settings(request).offline_after,
        )
    defaults: dict[str, Any] = {"to_confirm": [], "moved": False, "toast": None, "edit": None}
    if more.get("to_confirm"):  # what is confirmed is shown in place of an item
        found = replace(found, selected_item=None, approval_view=None)
    if found.approval_view is not None:
        await found.approval_view.reveal_texts()
    context = {"inbox": found, "form": form} | defaults | more
    status = max(status, form.status)
    if layout is None:
        return render_part(request, "approvals/_inbox_update.html", status, **context)
    toasts = [context["toast"]] if context["toast"] else []
    return render_page(
        request, "approvals/index.html", layout=layout, status=status, toasts=toasts, **context
    )


async def render_next(
    request: Request, following: Sequence[NextItem], decided: ApprovalDetail, toast: Toast
) -> Response:
    """Render the first of two items after a decision in the inbox, and the decided row."""
    address = InboxAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        found = await inbox.load_next(
            source, current_member(request), address, following, view=current_view(request)
        )
        [item] = await inbox.add_excerpts(source, [InboxItem(approval=decided)])
    if found.approval_view is not None:
        await found.approval_view.reveal_texts()
    response = render_part(
        request,
        "approvals/_decided_update.html",
        inbox=found,
        form=forms.Form(),
        to_confirm=[],
        edit=None,
        moved=True,
        toast=toast,
        decided=item,
    )
    response.headers.update({"HX-Retarget": "#detail", "HX-Reswap": "outerMorph"})
    return response


async def render_task_approval(
    request: Request, approval_id: UUID, form: forms.Form, toast: Toast | None = None
) -> Response:
    """Render an approval as it is shown on its task."""
    async with open_reader(request) as source:
        detail = await approvals.get_member_approval(source, current_member(request), approval_id)
        writable = set(await boards.list_writable_board_ids(source, request.user))
        member = current_member(request)
        [view] = await load_approval_views(source, member, [detail], writable)
    await view.reveal_texts()
    return render_part(
        request,
        "approvals/_task_approval_update.html",
        form.status,
        view=view,
        form=form,
        toast=toast,
    )


def is_from_task(request: Request) -> bool:
    """Return whether the htmx request comes from the page of a task."""
    return "#ask-" in request.headers.get("HX-Target", "")


def is_from_inbox(request: Request) -> bool:
    """Return whether the htmx request comes from the inbox."""
    return request.headers.get("HX-Target", "").endswith("#inbox")


def is_from_toast(request: Request) -> bool:
    """Return whether the htmx request comes from a toast, which is on any page."""
    return is_part_request(request) and not (is_from_task(request) or is_from_inbox(request))


def current_view(request: Request) -> str:
    """Return what a phone shows of the current page: `list` or `detail`."""
    return "detail" if _current_page(request).path.startswith("/approvals/") else "list"


def _current_page(request: Request) -> SplitResult:
    """Return the address of the page from which an htmx request comes."""
    try:
        return urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return urlsplit("")


async def render_undone(request: Request, approval_id: UUID | None, toast: Toast) -> Response:
    """Render the response to an undo in a toast.

    On a page of the inbox the approval is selected again: the next key must not decide another one.
    """
    page = _current_page(request)
    if approval_id is None or not INBOX_PATH.fullmatch(page.path):
        response = render_part(request, "_toast.html", toast=toast)
        response.headers["HX-Trigger"] = "inbox, approvals, tasks"
        return response
    address, view = InboxAddress.from_query(QueryParams(page.query)), current_view(request)
    response = await render_inbox(
        request, selected=approval_id, view=view, address=address, toast=toast, moved=True
    )
    response.headers.update({"HX-Retarget": "#inbox", "HX-Reswap": "outerMorph"})
    if view == "detail":
        query = address.query_with(selected="")
        response.headers["HX-Replace-Url"] = f"/approvals/{approval_id}{query}"
    return response


async def is_awaited_decision(source: Source, detail: ApprovalDetail) -> bool:
    """Return whether a client waits for the decision about a tool call."""
    if not detail.approval.is_tool_call:
        return False
    waits = await tool_calls.list_waiting(source, [detail.approval.id])
    return any(one.waiting for one in waits.values())


async def find_decided_toast(request: Request) -> Toast | None:
    """Return the undo toast of an approval decided without scripts, while it can be undone."""
    decided_id = forms.parse_id(request.query_params.get("answered"))
    if decided_id is None:
        return None
    async with open_reader(request) as source:
        detail = await approvals.get_member_approval(source, current_member(request), decided_id)
        is_awaited = await is_awaited_decision(source, detail)
    is_first = detail.is_undecided and detail.approval.first_approver_id == request.user.id
    if not detail.can_undo and not is_first:
        return None
    answer = request.query_params.get("answer", "")
    return build_decision_toast(detail, answer=answer, is_awaited=is_awaited)


async def show_gateway_request(request: Request) -> Response:
    """Show a gateway request in full."""
    request_id = forms.path_id(request, "request_id")
    await mark_page_read(request, OpenedPage(named_id=request_id))
    toast = await find_decided_toast(request)
    return await render_inbox(
        request, selected=request_id, on_gateway=True, view="detail", toast=toast
    )


async def resolve_gateway_request(request: Request) -> Response:
    """Resolve a gateway request, and show its resolution and delivery."""
    form, request_id = await forms.read_form(request), forms.path_id(request, "request_id")
    with form.catch_errors():
        async with open_transaction(request) as session:
            detail = await requests.get_request(session, request.user, request_id)
            answer = _build_resolution(form, detail.request)
            _check_opened(form, detail.request, answer)
            await requests.answer_request(session, request.user, request_id, answer)
        if not is_part_request(request):
            return RedirectResponse(f"/approvals/requests/{request_id}", 303)
        return await _render_request(request, forms.Form(), moved=True)
    return await _render_request(request, form)


async def _render_request(request: Request, form: forms.Form, **more: Any) -> Response:
    view = current_view(request) if is_part_request(request) else "detail"
    return await render_inbox(
        request,
        selected=forms.path_id(request, "request_id"),
        on_gateway=True,
        view=view,
        form=form,
        **more,
    )


def _check_opened(form: forms.Form, request: GatewayRequest, answer: GatewayAnswer) -> None:
    """Raise Invalid if a request is allowed that the page did not show completely."""
    if answer.decision in (None, "deny") or form.is_on("complete"):
        return
    if build_request_content(request).must_be_opened:
        message = N_("This page did not show everything. Open the complete content, then allow it.")
        raise Invalid("content_not_opened", message)


def _build_resolution(form: forms.Form, gateway_request: GatewayRequest) -> GatewayAnswer:
    """Build the resolution from the form. Typed text takes the place of a single choice."""
    given: dict[str, Any] = {"sha256": form.value("sha256") or "0" * 64}  # of no request
    if form.value("decision"):
        return form.parse(GatewayAnswer, given | {"decision": form.value("decision")})
    if form.value("cancel"):
        return form.parse(GatewayAnswer, given | {"cancel": True})
    answers: dict[str, list[str]] = {}
    for question in gateway_request.questions:
        id = question["questionId"]
        chosen, typed = list(form.selected(f"chosen-{id}")), form.value(f"typed-{id}").strip()
        if typed:
            chosen = [*chosen, typed] if question.get("multiSelect") else [typed]
        answers[id] = chosen
    return form.parse(GatewayAnswer, given | {"answers": answers})
