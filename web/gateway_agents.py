"""The agents that a gateway has: linking those that others made, and unlinking them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import NotFound, Refusal
from kit.http import Session, transaction
from models import Agent
from services import agents, boards, gateways
from services.gateways import GatewaySummary, LinkDraft, Owner, Owners, Resident
from web import forms, newcomers
from web import frame as frames
from web.auth import member_of
from web.gateway_sessions import ask, known_agents, waits
from web.gateways import WORDS, gateway_id_in
from web.html import page, render, wants_part

OF_ONE = {"name", "gateway_agent_id"}
"""The fields of a link that each of several agents has for itself."""


class Links(BaseModel):
    """Which agents are to be linked, to which board, and as what. Names are beside."""

    agent: Annotated[list[str], Field(min_length=1, max_length=100)]
    board_id: UUID
    kind: Literal["worker", "lead"] = "worker"


@dataclass(frozen=True)
class Row:
    """An agent that a gateway has, and the agent that it is here, if it is one."""

    there: Resident
    owner: Owner | None

    @property
    def is_free(self) -> bool:
        """Whether it can be linked."""
        return self.owner is None and not self.there.is_made_here


@dataclass(frozen=True)
class Linked:
    """An agent that was just linked: its token, and what is to be given to it."""

    agent: Agent
    workspace: str | None
    token: str
    handover: str


async def index(request: Request) -> Response:
    """Show the agents that a gateway has; to htmx only the list of them."""
    return await _show(request, forms.Form())


async def link(request: Request) -> Response:
    """Link agents, and show the token of each: now, and never again."""
    form = await forms.read(request)
    async with transaction(request) as session:
        one, _ = await known_agents(request, session)
    with form.refusals():
        wanted = _wanted(form)
        there, problem = await ask(request, one, gateways.residents)
        if there is None:
            form.problem, form.status = problem, 502
            return await _show(request, form)
        async with transaction(request) as session:
            linked = [await _link(request, session, one, there, draft) for draft in wanted]
        return await _linked(request, one, linked)
    return await _show(request, form)


async def unlink(request: Request) -> Response:
    """Forget an agent that others made. It goes on running."""
    agent_id: UUID = request.path_params["agent_id"]
    async with transaction(request) as session:
        agent = await agents.get(session, member_of(request), agent_id)
        if not agent.is_linked or agent.gateway_id != gateway_id_in(request):
            raise NotFound("agent_not_found", "There is no such agent on this gateway.")
        await agents.delete(session, request.user, agent_id)
    return RedirectResponse(f"/gateways/{agent.gateway_id}/agents?wait=1", 303)


def _wanted(form: forms.Form) -> list[LinkDraft]:
    """Return what was chosen. Raises Invalid."""
    links = form.into(Links)
    return [
        LinkDraft(
            gateway_agent_id=id,
            board_id=links.board_id,
            is_board_lead=links.kind == "lead",
            name=form.value(f"name:{id}").strip() or None,
        )
        for id in dict.fromkeys(links.agent)
    ]


async def _link(
    request: Request,
    session: Session,
    one: GatewaySummary,
    there: Sequence[Resident],
    draft: LinkDraft,
) -> Linked:
    """Link one of several agents. What is wrong with it alone, is told beside it."""
    member, resident_of = member_of(request), {resident.id: resident for resident in there}
    try:
        agent, token = await gateways.link_agent(session, member, one.gateway, there, draft)
    except Refusal as refusal:
        if refusal.field in OF_ONE:
            refusal.field = f"name:{draft.gateway_agent_id}"
        raise
    workspace = resident_of[draft.gateway_agent_id].workspace
    told = await newcomers.handover(request, session, agent, token, workspace=workspace or "")
    return Linked(agent, workspace, token, told)


async def _show(request: Request, form: forms.Form) -> Response:
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        one, known = await known_agents(request, session)
        summaries = await boards.summaries(session, member_of(request))
    choices = [(each.board.id, each.board.name) for each in summaries if each.can_write]
    is_told = frame is None or waits(request) or form.sent
    there, problem = await ask(request, one, gateways.residents) if is_told else (None, "")
    context: dict[str, Any] = {
        "one": one,
        "form": form,
        "rows": _rows(there or (), known),
        "problem": problem,
        "boards": choices,
    }
    if frame is None:
        return render(request, "gateways/_agents.html", **context)
    more = {"is_told": is_told, **WORDS}
    return page(request, "gateways/agents.html", frame=frame, status=form.status, **context, **more)


async def _linked(request: Request, one: GatewaySummary, linked: Sequence[Linked]) -> Response:
    frame = await frames.load(request)
    board = linked[0].agent.board_id
    return page(
        request, "gateways/linked.html", frame=frame, one=one, linked=linked, linked_to=board
    )


def _rows(there: Sequence[Resident], known: Owners) -> list[Row]:
    """Return the agents of a gateway: those that can be linked first."""
    rows = [Row(resident, known.get(resident.id)) for resident in there]
    return sorted(rows, key=lambda row: not row.is_free)
