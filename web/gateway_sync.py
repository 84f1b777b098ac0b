"""The files of a gateway's agents: what would be written, having it written, how far that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from kit.clock import now
from kit.http import Session, settings_of, transaction
from kit.paging import Paging
from services import agents, boards, file_sync, gateways
from services.agents import AgentCard
from services.file_sync import Report, Wish
from services.gateways import GatewaySummary
from web import forms
from web import frame as frames
from web.auth import member_of
from web.diffs import lines
from web.forms import OrNothing, Switch
from web.gateway_sessions import waits
from web.gateways import WORDS, carrier, gateway_id_in, visit
from web.html import page, render, wants_part
from web.journey import Stage, standing
from web.newcomers import offline_after


class Wishes(BaseModel):
    """Whose files are meant, and how they are written."""

    board_id: Annotated[UUID | None, OrNothing] = None
    include_main: Switch = False
    lead_only: Switch = False
    overwrite: Switch = False
    rotate_tokens: Switch = False
    reset_sessions: Switch = False

    def wish(self) -> Wish:
        """Return the same, as the services take it."""
        return Wish(**self.model_dump())


@dataclass(frozen=True)
class Traveller:
    """An agent, and the step at which it is."""

    card: AgentCard
    stage: Stage


async def show(request: Request) -> Response:
    """Show what would be written; to htmx only that."""
    form = _asked(request)
    with form.refusals():
        wanted = form.into(Wishes)
        if wants_part(request):
            one, told = await _look(request, wanted.wish())
            context: dict[str, Any] = {"one": one, "told": told, "form": form, "lines": lines}
            return render(request, "gateways/_changes.html", **context)
        told = (await _look(request, wanted.wish()))[1] if waits(request) else None
        return await _page(request, form, wanted, told=told)
    return await _page(request, form, Wishes())


async def write(request: Request) -> Response:
    """Have it written, and show for whom."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(Wishes)
        done = await _write(request, wanted.wish())
        return await _page(request, form, wanted, done=done)
    return await _page(request, form, Wishes())


async def progress(request: Request) -> Response:
    """Show how far the agents of a gateway are."""
    async with transaction(request) as session:
        one = await gateways.summary(session, member_of(request), gateway_id_in(request))
        travellers = await _travellers(request, session, one)
    return render(request, "gateways/_progress.html", one=one, travellers=travellers)


async def _look(request: Request, wish: Wish) -> tuple[GatewaySummary, Report]:
    """See what would be written. Nothing is changed by that."""
    one, prepared = await _prepared(request, wish)
    looked = await file_sync.look(carrier(request), one.gateway, prepared.agents)
    return one, file_sync.report(prepared, looked)


async def _write(request: Request, wish: Wish) -> Report:
    one, prepared = await _prepared(request, wish)
    reaches = carrier(request)
    told = file_sync.report(prepared, await file_sync.look(reaches, one.gateway, prepared.agents))
    async with transaction(request) as session:
        told = await file_sync.ask(session, member_of(request), prepared, told)
    return await file_sync.reset(reaches, prepared, told)


async def _prepared(request: Request, wish: Wish) -> tuple[GatewaySummary, file_sync.Prepared]:
    member, base_url = member_of(request), settings_of(request).base_url
    async with transaction(request) as session:
        one = await gateways.summary(session, member, gateway_id_in(request))
        visit(request, one)
        prepared = await file_sync.prepare(
            session, request.state.seal, member, one.gateway, wish, base_url=base_url
        )
    return one, prepared


async def _page(
    request: Request,
    form: forms.Form,
    wanted: Wishes,
    *,
    told: Report | None = None,
    done: Report | None = None,
) -> Response:
    frame = await frames.load(request)
    member, gateway_id = member_of(request), gateway_id_in(request)
    async with transaction(request) as session:
        one = await gateways.summary(session, member, gateway_id)
        read = await boards.listed(session, member, Paging(), gateway_id=gateway_id)
        travellers = await _travellers(request, session, one)
    context: dict[str, Any] = {
        "one": one,
        "travellers": travellers,
        "boards": [("", "All on this gateway"), *[(each.id, each.name) for each in read.items]],
        "query": _query(wanted),
        "told": told,
        "done": done,
        "lines": lines,
    }
    return page(
        request,
        "gateways/sync.html",
        frame=frame,
        status=form.status,
        form=form,
        **context,
        **WORDS,
    )


async def _travellers(
    request: Request, session: Session, one: GatewaySummary
) -> Sequence[Traveller]:
    """Return the agents of a gateway that are brought there, each with its step."""
    cards = await agents.cards(
        session,
        member_of(request),
        gateway_id=one.gateway.id,
        offline_after=offline_after(request),
    )
    moment = now()
    brought = [card for card in cards if card.agent.desired_state is not None]
    return [Traveller(card, standing(card.agent, one.gateway, moment)) for card in brought]


def _asked(request: Request) -> forms.Form:
    """Return what the address asks for; where it says nothing, all agents."""
    query = request.query_params
    asked = {name: query.getlist(name) for name in query if name in Wishes.model_fields}
    return forms.Form(asked if "asked" in query else {"include_main": ["on"]})


def _query(wanted: Wishes) -> str:
    """Write the wishes as an address does."""
    said = {"asked": "1", "board_id": str(wanted.board_id or "")}
    on = {name: "on" for name, value in wanted.model_dump().items() if value is True}
    return urlencode(said | on)
