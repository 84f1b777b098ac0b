"""The first run: by a link that works once, the first owner comes in."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.errors import NotFound
from kit.http import transaction
from services import demo, identity
from web import forms
from web.auth import keep_signed_in
from web.html import page
from web.sign_in import browser_of

MISSING, DEAD = 404, 410


class Owner(BaseModel):
    """Who wants to be the first owner."""

    link: str = ""
    name: forms.Line
    email: forms.Line
    password: forms.Secret


async def show(request: Request) -> Response:
    """Show the form, if the link still opens it."""
    link = request.query_params.get("link", "")
    is_open = bool(link) and await _is_open(request, link)
    return _form(request, link, forms.Form()) if is_open else _closed(request, link)


async def complete(request: Request) -> Response:
    """Make the first owner, who is signed in from then on."""
    form = await forms.read(request)
    link = form.value("link")
    try:
        with form.refusals():
            wanted = form.into(Owner)
            if not await _is_open(request, link):
                return _closed(request, link)
            kept = await identity.hashed(wanted.password, "password")
            async with transaction(request) as session:
                user = await identity.complete_first_run(
                    session, link, name=wanted.name, email=wanted.email, password_hash=kept
                )
                secret = await identity.start_session(session, user, **browser_of(request))
                await demo.invite_everybody(session)
            return keep_signed_in(request, RedirectResponse("/", 303), secret)
    except NotFound:
        return _closed(request, link)
    return _form(request, link, form)


async def _is_open(request: Request, link: str) -> bool:
    async with transaction(request) as session:
        return await identity.first_run_open(session, link)


def _form(request: Request, link: str, form: forms.Form) -> Response:
    return page(
        request,
        "first_run/show.html",
        status=form.status,
        form=form,
        link=link,
        shortest=identity.SHORTEST_PASSWORD,
    )


def _closed(request: Request, link: str) -> Response:
    status = DEAD if link else MISSING
    return page(request, "first_run/closed.html", status=status, had_link=bool(link))
