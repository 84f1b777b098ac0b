"""The agents: all of them, one, a new one, and their tokens."""

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import Session, transaction
from kit.paging import Paging
from services import activity, agents, boards, gateways, organizations
from services.activity import ActivityFilters
from web import forms, mailboxes, newcomers, runs
from web import frame as frames
from web.agent_forms import ChangedAgent, NewAgent
from web.agent_words import CADENCES, EMOJI, counts, evidence, narrowed
from web.auth import member_of
from web.bringing import progress
from web.html import page, render, wants_part
from web.newcomers import Newcomer

LATELY = 12  # entries of what an agent did


async def index(request: Request) -> Response:
    """Show the agents of all boards that the person reads."""
    frame = await frames.load(request)
    return page(request, "agents/index.html", frame=frame, **await _list(request))


async def table(request: Request) -> Response:
    """Show the agents in their table, as they stand now."""
    return render(request, "agents/_list.html", apart=True, **await _list(request))


async def new(request: Request) -> Response:
    """Show the form for a new agent."""
    return await _new(request, forms.Form())


async def create(request: Request) -> Response:
    """Make an agent, and show its token: now, and never again."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(NewAgent)
        async with transaction(request) as session:
            newcomer = await newcomers.make(request, session, wanted)
        return await _first_call(request, newcomer)
    return await _new(request, form)


async def show(request: Request) -> Response:
    """Show an agent; to htmx only how it stands and what it does."""
    frame = None if wants_part(request) else await frames.load(request)
    agent_id = _agent_id(request)
    async with transaction(request) as session:
        card = await newcomers.card_of(request, session, agent_id)
        lately = await activity.for_member(
            session, member_of(request), Paging(limit=LATELY), ActivityFilters(agent_id=agent_id)
        )
        mail = {} if frame is None else await mailboxes.mail_of(session, card.agent)
        home = (await gateways.homes(session, [card.agent])).get(card.agent.gateway_id)
        doing = await runs.doing(request, session, card.agent)
    now: dict[str, Any] = {"one": card, "lately": lately.items, "evidence": evidence, **doing}
    now |= {"home": home, "progress": progress(card.agent, home)}
    if frame is None:
        return render(request, "agents/_now.html", **now)
    return page(request, "agents/show.html", frame=frame, **now, **mail)


async def edit(request: Request) -> Response:
    """Show the form that changes an agent."""
    return await _edit(request, forms.Form())


async def save(request: Request) -> Response:
    """Change an agent."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(ChangedAgent)
        async with transaction(request) as session:
            member = member_of(request)
            agent = await agents.get(session, member, _agent_id(request))
            await agents.change(session, member, agent.id, wanted.changes(agent))
        return RedirectResponse(f"/agents/{agent.id}", 303)
    return await _edit(request, form)


async def issue_token(request: Request) -> Response:
    """Give an agent another token, and show it: now, and never again.

    That of an agent on a gateway is shown to nobody.
    """
    agent_id = _agent_id(request)
    async with transaction(request) as session:
        token = await agents.issue_token(session, member_of(request), agent_id)
        if token is None:
            return RedirectResponse(f"/agents/{agent_id}", 303)
        newcomer = await newcomers.meet(request, session, agent_id, token)
    return await _first_call(request, newcomer)


async def call(request: Request) -> Response:
    """Show how an agent calls; to htmx only whether it has."""
    async with transaction(request) as session:
        newcomer = await newcomers.meet(request, session, _agent_id(request))
    if wants_part(request):
        return newcomers.arrival(request, newcomer, f"/agents/{newcomer.card.agent.id}/calls")
    return await _first_call(request, newcomer)


async def delete(request: Request) -> Response:
    """Delete an agent, and go to the others."""
    form = await forms.read(request)
    async with transaction(request) as session:
        agent = await agents.get(session, member_of(request), _agent_id(request))
        await agents.delete(session, request.user, agent.id, force=bool(form.value("force")))
    return RedirectResponse("/agents", 303)


async def _list(request: Request) -> dict[str, Any]:
    """Return what the list of agents needs, as the address narrows it."""
    query = request.query_params
    board_id = forms.id_in(query.get("board"))
    async with transaction(request) as session:
        cards = await agents.cards(
            session,
            member_of(request),
            board_id=board_id,
            offline_after=newcomers.offline_after(request),
        )
        homes = await gateways.homes(session, [card.agent for card in cards])
    kind, wanted = query.get("state", ""), query.get("q", "")[:200]
    return {
        "cards": narrowed(cards, kind, wanted),
        "counts": counts(cards),
        "kind": kind,
        "wanted": wanted,
        "of_board": board_id,
        "evidence": evidence,
        "progress_of": lambda agent: progress(agent, homes.get(agent.gateway_id)),
    }


async def _new(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(member_of(request))
    return await _form_page(request, "agents/new.html", form)


async def _edit(request: Request, form: forms.Form) -> Response:
    async with transaction(request) as session:
        agent = await agents.get(session, member_of(request), _agent_id(request))
    return await _form_page(request, "agents/edit.html", form, agent=agent)


async def _form_page(request: Request, template: str, form: forms.Form, **more: Any) -> Response:
    frame = await frames.load(request)
    async with transaction(request) as session:
        choices = await _boards(request, session)
    return page(
        request,
        template,
        frame=frame,
        status=form.status,
        form=form,
        boards=choices,
        chosen=request.query_params.get("board", ""),
        cadences=CADENCES,
        emoji=EMOJI,
        **more,
    )


async def _boards(request: Request, session: Session) -> list[tuple[UUID, str]]:
    """Return the boards that an agent could work on: those that the person may change."""
    summaries = await boards.summaries(session, member_of(request))
    return [(one.board.id, one.board.name) for one in summaries if one.can_write]


async def _first_call(request: Request, newcomer: Newcomer) -> Response:
    """Show how an agent calls. One on a gateway is told that there."""
    if newcomer.card.agent.desired_state is not None:
        return RedirectResponse(f"/agents/{newcomer.card.agent.id}", 303)
    frame = await frames.load(request)
    more = newcomers.shown(newcomer, f"/agents/{newcomer.card.agent.id}/calls")
    return page(request, "agents/first_call.html", frame=frame, **more)


def _agent_id(request: Request) -> UUID:
    agent_id: UUID = request.path_params["agent_id"]
    return agent_id
