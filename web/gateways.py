"""The gateways: all of them, one with the ladder that leads to it, a new one, and its end."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import TooMany
from kit.http import Session, transaction
from kit.paging import Paging
from models import Gateway
from services import agents, boards, gateways, organizations
from web import forms, gateway_words
from web import frame as frames
from web.auth import member_of
from web.gateway_forms import ChangedGateway, NewGateway
from web.html import page, render, wants_part
from web.newcomers import offline_after

WORDS: dict[str, Any] = {
    "evidence": gateway_words.evidence,
    "rungs": gateway_words.rungs,
    "state_of": gateway_words.state,
}


async def index(request: Request) -> Response:
    """Show all gateways of the organization; to htmx only the list of them."""
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        summaries = await gateways.summaries(session, member_of(request))
    if frame is None:
        return render(request, "gateways/_list.html", summaries=summaries, apart=True, **WORDS)
    return page(request, "gateways/index.html", frame=frame, summaries=summaries, **WORDS)


async def new(request: Request) -> Response:
    """Show the form for a gateway that is not known yet."""
    return await _new(request, forms.Form())


async def create(request: Request) -> Response:
    """Add a gateway, and show whether it can be reached. It is kept either way."""
    form = await forms.read(request)
    with form.refusals():
        draft = form.into(NewGateway).draft()
        async with transaction(request) as session:
            gateway = await gateways.create(session, member_of(request), carrier(request), draft)
        await look_if_we_may(request, gateway)
        return RedirectResponse(f"/gateways/{gateway.id}", 303)
    return await _new(request, form)


async def show(request: Request) -> Response:
    """Show a gateway, and the ladder that leads to it; to htmx only how it stands."""
    return await _show(request, forms.Form())


async def edit(request: Request) -> Response:
    """Show the form that changes a gateway. Its token is not in it."""
    return await _edit(request, forms.Form())


async def save(request: Request) -> Response:
    """Change a gateway. If it is now reached in another way, it is looked at anew."""
    form = await forms.read(request)
    with form.refusals():
        changes = form.into(ChangedGateway).changes()
        async with transaction(request) as session:
            gateway = await gateways.change(
                session, member_of(request), carrier(request), gateway_id_in(request), changes
            )
        if gateway.checks is None:
            await look_if_we_may(request, gateway)
        return RedirectResponse(f"/gateways/{gateway.id}", 303)
    return await _edit(request, form)


async def check(request: Request) -> Response:
    """Look at this very moment whether a gateway can be reached."""
    async with transaction(request) as session:
        gateway = await gateways.get(session, member_of(request), gateway_id_in(request))
    await _look(request, gateway)
    if wants_part(request):
        return await _show(request, forms.Form())
    return RedirectResponse(f"/gateways/{gateway.id}", 303)


async def delete(request: Request) -> Response:
    """Remove a gateway that serves nobody, and go to the others."""
    form = await forms.read(request)
    with form.refusals():
        async with transaction(request) as session:
            await gateways.delete(session, member_of(request), gateway_id_in(request))
        return RedirectResponse("/gateways", 303)
    return await _show(request, form)


async def _look(request: Request, gateway: Gateway) -> None:
    """See how a gateway stands, and write it down. Raises TooMany, and Conflict."""
    request.state.limits.gateways.visit(str(gateway.organization_id))
    look = await gateways.Look.at_gateway(carrier(request), gateway)
    async with transaction(request) as session:
        await gateways.record(session, member_of(request), gateway, look)


async def look_if_we_may(request: Request, gateway: Gateway) -> None:
    """Do the same; if somebody has looked too often, a worker looks in a moment anyway."""
    with suppress(TooMany):
        await _look(request, gateway)


async def _show(request: Request, form: forms.Form) -> Response:
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        found = await _found(request, session)
    if frame is None:
        return render(request, "gateways/_now.html", form.status, **found, **WORDS)
    more = {**found, **WORDS}
    return page(request, "gateways/show.html", frame=frame, status=form.status, form=form, **more)


async def _found(request: Request, session: Session) -> dict[str, Any]:
    """Return what the page of a gateway shows: how it stands, and what it serves."""
    member, gateway_id = member_of(request), gateway_id_in(request)
    summary = await gateways.summary(session, member, gateway_id)
    read = await boards.listed(session, member, Paging(), gateway_id=gateway_id)
    cards = await agents.cards(
        session, member, gateway_id=gateway_id, offline_after=offline_after(request)
    )
    token_set_at = await gateways.token_set_at(session, summary.gateway)
    return {"one": summary, "boards": read.items, "cards": cards, "token_set_at": token_set_at}


async def _new(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(member_of(request))
    frame = await frames.load(request)
    return page(request, "gateways/new.html", frame=frame, status=form.status, form=form)


async def _edit(request: Request, form: forms.Form) -> Response:
    frame = await frames.load(request)
    async with transaction(request) as session:
        gateway = await gateways.get(session, member_of(request), gateway_id_in(request))
        token_set_at = await gateways.token_set_at(session, gateway)
    return page(
        request,
        "gateways/edit.html",
        frame=frame,
        status=form.status,
        form=form,
        gateway=gateway,
        token_set_at=token_set_at,
    )


def carrier(request: Request) -> gateways.Carrier:
    """Return what reaches gateways."""
    reaches: gateways.Carrier = request.state.carrier
    return reaches


def visit(request: Request, one: gateways.GatewaySummary) -> None:
    """Count a visit to a gateway, unless a worker is connected to it anyway. Raises TooMany."""
    if one.standing is not gateways.Standing.CONNECTED:
        request.state.limits.gateways.visit(str(one.gateway.organization_id))


def gateway_id_in(request: Request) -> UUID:
    """Return the id of the gateway that the address names."""
    gateway_id: UUID = request.path_params["gateway_id"]
    return gateway_id
