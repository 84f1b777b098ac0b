"""What agents on gateways ask: it stands in "Needs you" like any question, and is answered once."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import transaction
from models import GatewayRequest
from services import gateway_requests
from services.gateway_requests import Wish
from web import forms
from web.html import wants_part
from web.inbox_page import answered_before, shown, view_of


async def show(request: Request) -> Response:
    """Show what is asked, in full."""
    toast = await answered_before(request)
    return await shown(request, selected=_id_in(request), there=True, view="detail", toast=toast)


async def answer(request: Request) -> Response:
    """Answer what is asked, and show who has answered it, and whether the gateway knows."""
    form, request_id = await forms.read(request), _id_in(request)
    with form.refusals():
        async with transaction(request) as session:
            asked = await gateway_requests.found(session, request.user, request_id)
            wish = _wish(form, asked.request)
            await gateway_requests.answer(session, request.user, request_id, wish)
        if not wants_part(request):
            return RedirectResponse(f"/approvals/requests/{request_id}", 303)
        return await _again(request, forms.Form(), moved=True)
    return await _again(request, form)


async def _again(request: Request, form: forms.Form, **more: Any) -> Response:
    view = view_of(request) if wants_part(request) else "detail"
    return await shown(request, selected=_id_in(request), there=True, view=view, form=form, **more)


def _wish(form: forms.Form, asked: GatewayRequest) -> Wish:
    """Read what somebody answers. What was typed instead of a choice counts instead of it."""
    sha256 = form.value("sha256")
    if form.value("decision"):
        return Wish(sha256, decision=form.value("decision"))
    if form.value("cancel"):
        return Wish(sha256, cancel=True)
    answers = {
        one["questionId"]: _said(form, one["questionId"], several=bool(one.get("multiSelect")))
        for one in asked.questions
    }
    return Wish(sha256, answers=answers)


def _said(form: forms.Form, id: str, *, several: bool) -> list[str]:
    chosen, typed = list(form.chosen(f"chosen-{id}")), form.value(f"typed-{id}").strip()
    if not typed:
        return chosen
    return [*chosen, typed] if several else [typed]


def _id_in(request: Request) -> UUID:
    request_id: UUID = request.path_params["request_id"]
    return request_id
