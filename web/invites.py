"""Invitations by their links: somebody comes in with a new account, or with the one they have."""

from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import NotFound
from kit.http import Session, transaction
from models import Invite, User
from services import accounts, identity, organizations
from web import forms
from web.auth import looking_person
from web.one_time import closed, let_in, looked_up, private_page


class Newcomer(BaseModel):
    """Who comes in with a new account."""

    name: forms.Line
    password: forms.Secret


async def show(request: Request) -> Response:
    """Show what a link invites to, and how to come in. Raises TooMany."""
    return await _show(request, request.query_params.get("token", ""), forms.Form())


async def join(request: Request) -> Response:
    """Make an account for whoever is invited, who is signed in from then on. Raises TooMany."""
    form = await forms.read(request)
    token = form.value("token")

    async def join_as(session: Session, kept: str) -> User:
        user, _ = await accounts.join(session, token, name=wanted.name, password_hash=kept)
        return user

    try:
        with form.refusals():
            wanted = form.into(Newcomer)
            await _opened(request, token)
            return await let_in(request, wanted.password, join_as)
    except NotFound as refusal:
        return closed(request, refusal)
    return await _show(request, token, form)


async def accept(request: Request) -> Response:
    """Let in who is signed in, and show them where they have come. Raises TooMany."""
    form = await forms.read(request)
    token = form.value("token")
    try:
        with form.refusals():
            await _opened(request, token)
            async with transaction(request) as session:
                joined = await organizations.accept_invite(session, request.user, token)
                organization_id = joined.member.organization_id
                await organizations.switch(session, request.user, organization_id)
            return RedirectResponse("/", 303)
    except NotFound as refusal:
        return closed(request, refusal)
    return await _show(request, token, form)


async def _opened(request: Request, token: str) -> Invite:
    """Return what a link invites to. Those that open nothing count: raises NotFound or TooMany."""
    async with looked_up(request), transaction(request) as session:
        return await organizations.open_invite(session, token)


async def _show(request: Request, token: str, form: forms.Form) -> Response:
    try:
        invite = await _opened(request, token)
    except NotFound as refusal:
        return closed(request, refusal)
    viewer = await looking_person(request)
    return private_page(
        request,
        "invites/show.html",
        status=form.status,
        form=form,
        token=token,
        invite=invite,
        person=viewer.user if viewer else None,
        is_theirs=viewer is not None and organizations.is_for(invite, viewer.user),
        back=quote(f"/invite?token={token}"),
        shortest=identity.SHORTEST_PASSWORD,
    )
