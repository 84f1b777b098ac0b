"""A link by which somebody who cannot sign in chooses another password."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from kit.errors import NotFound
from kit.http import transaction
from models import User
from services import accounts, identity
from web import forms
from web.one_time import closed, let_in, looked_up, private_page


class Password(BaseModel):
    """The password that somebody has chosen."""

    password: forms.Secret


async def show(request: Request) -> Response:
    """Show the form, if the link still opens it. Raises TooMany."""
    return await _show(request, request.query_params.get("link", ""), forms.Form())


async def choose(request: Request) -> Response:
    """Take the password; only who has chosen it is signed in from then on. Raises TooMany."""
    form = await forms.read(request)
    link = form.value("link")
    try:
        with form.refusals():
            wanted = form.into(Password)
            await _person(request, link)
            return await let_in(
                request,
                wanted.password,
                lambda session, kept: accounts.choose_password(session, link, new_hash=kept),
            )
    except NotFound as refusal:
        return closed(request, refusal)
    return await _show(request, link, form)


async def _person(request: Request, link: str) -> User:
    async with looked_up(request), transaction(request) as session:
        return await accounts.who_has_link(session, link)


async def _show(request: Request, link: str, form: forms.Form) -> Response:
    try:
        person = await _person(request, link)
    except NotFound as refusal:
        return closed(request, refusal)
    return private_page(
        request,
        "passwords/show.html",
        status=form.status,
        form=form,
        link=link,
        person=person,
        shortest=identity.SHORTEST_PASSWORD,
    )
