"""The sessions of a gateway: which there are, what was said in one, and saying something there.

The gateway is asked after the page is there, so that nobody waits for it before anything is seen;
with `?wait=1`, as browsers without scripts ask, before.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import Refusal
from kit.http import Session, transaction
from services import gateways
from services.gateways import GatewaySummary, Owner, Owners
from web import forms
from web import frame as frames
from web.auth import member_of
from web.gateway_rows import rows
from web.gateways import WORDS, carrier, gateway_id_in, visit
from web.html import page, render, wants_part
from web.transcripts import sayings

USUAL, MOST = 100, 1_000  # messages of a transcript

Told = TypeVar("Told")


class Message(BaseModel):
    """Something to say, and the key by which the gateway knows it again."""

    message: forms.Text
    once: forms.Line


@dataclass(frozen=True)
class Talk:
    """A session that a person may look into."""

    one: GatewaySummary
    key: str
    owner: Owner | None  # None: its agent is none of ours

    @property
    def can_say(self) -> bool:
        """Whether the person may say something there."""
        return self.owner is None or self.owner.can_write


async def index(request: Request) -> Response:
    """Show the sessions of a gateway; to htmx only the list of them."""
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        one, known = await known_agents(request, session)
    context: dict[str, Any] = {"one": one, "rows": (), "problem": "", "is_told": False}
    if frame is None or waits(request):
        told, problem = await ask(request, one, gateways.sessions)
        found = rows(told, known) if told else ()
        context |= {"rows": found, "problem": problem, "is_told": True}
    if frame is None:
        return render(request, "gateways/_sessions.html", **context)
    return page(request, "gateways/sessions.html", frame=frame, **context, **WORDS)


async def show(request: Request) -> Response:
    """Show what was said in a session; to htmx only that."""
    return await _show(request, forms.Form())


async def say(request: Request) -> Response:
    """Say something in a session."""
    form = await forms.read(request)
    if wants_part(request):
        await _say(request, form.into(Message))
        return await _show(request, forms.Form())
    with form.refusals(beside="message"):
        await _say(request, form.into(Message))
        here = f"/gateways/{gateway_id_in(request)}/sessions/{quote(request.path_params['key'])}"
        return RedirectResponse(f"{here}?wait=1#say", 303)
    return await _show(request, form)


async def _say(request: Request, wanted: Message) -> None:
    async with transaction(request) as session:
        talk = await _talk(request, session, to_write=True)
    request.state.limits.gateways.visit(str(talk.one.gateway.organization_id))
    async with carrier(request).link(talk.one.gateway) as link:
        await gateways.say(link, talk.key, wanted.message, once=wanted.once)


async def _show(request: Request, form: forms.Form) -> Response:
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        talk = await _talk(request, session)
    limit = MOST if request.query_params.get("more") else USUAL
    context: dict[str, Any] = {"talk": talk, "one": talk.one, "form": form, "once": uuid4()}
    context |= {"said": (), "history": None, "problem": "", "limit": limit, "usual": USUAL}
    if frame is None or waits(request) or form.sent:
        told, problem = await ask(
            request, talk.one, lambda link: gateways.history(link, talk.key, limit=limit)
        )
        said = sayings(told.messages) if told else ()
        context |= {"said": said, "history": told, "problem": problem}
    if frame is None:
        return render(request, "gateways/_transcript.html", form.status, apart=True, **context)
    context |= {"status": form.status, "is_told": waits(request) or form.sent, **WORDS}
    return page(request, "gateways/session.html", frame=frame, **context)


async def ask(
    request: Request, one: GatewaySummary, question: Callable[..., Awaitable[Told]]
) -> tuple[Told | None, str]:
    """Ask a gateway something, with no transaction open; if that fails, say why.

    One that a worker found out of reach some seconds ago is not asked.
    """
    broken = gateways.in_the_way(one.gateway)
    if broken is not None and one.is_watched:
        return None, broken["sentence"]
    try:
        visit(request, one)
        async with carrier(request).link(one.gateway) as link:
            return await question(link), ""
    except Refusal as refusal:
        return None, refusal.message


async def known_agents(request: Request, session: Session) -> tuple[GatewaySummary, Owners]:
    """Return the gateway that the address names, and the agents of ours on it."""
    member = member_of(request)
    one = await gateways.summary(session, member, gateway_id_in(request))
    return one, await gateways.owners(session, member.user, one.gateway)


async def _talk(request: Request, session: Session, *, to_write: bool = False) -> Talk:
    """Return the session that the address names. Raises NotFound, and Forbidden."""
    one, known = await known_agents(request, session)
    key: str = request.path_params["key"]
    return Talk(one, key, gateways.owner_of(key, known, to_write=to_write))


def waits(request: Request) -> bool:
    """Whether the page is to come with the gateway's answer in it."""
    return bool(request.query_params.get("wait"))
