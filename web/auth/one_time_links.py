"""Pages behind one-time links: first run, new password, invite.

The secret of a link must not stay in the address of a page. A link has it behind the #, which
browsers send to no server and to no other page. A script posts it once; it is then in a cookie, so
it is in no address, in no log, and not in the path to which a sign-in returns. Links that were made
by an earlier version have it in the query.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import NotFound
from core.http.request import Session, open_transaction
from models import Invite, User
from services import audit, boards, identity, organizations
from services.identity import AccountCreate, FirstOwnerCreate
from web.auth import viewer
from web.auth.sign_in import session_metadata
from web.auth.viewer import current_viewer, read_cookie, set_session_cookie, write_cookie
from web.ui import forms
from web.ui.locale_format import describe_error
from web.ui.object_forms import build_form_fields
from web.ui.render import forbid_storage, render_page
from web.ui.translation import _

LINK_COOKIES = {
    "/first-run": "mission_control_first_run",
    "/invite": "mission_control_invite",
    "/password": "mission_control_password",
}
"""The pages that one-time links open, and the cookies with their secrets."""

GONE = 410  # HTTP status of an invalid link
QUERY_NAMES = ("token", "link")


async def open_link(request: Request) -> Response:
    """Keep the secret of a posted link, and redirect to its page."""
    path = request.url.path.removesuffix("/openings")
    secret = (await forms.read_form(request)).value("link")
    for separator in ("#", *(f"{name}=" for name in QUERY_NAMES)):
        secret = secret.rpartition(separator)[2]
    secret = secret.strip()
    if not secret:
        error = _("This is not the whole link. Copy it again, with the part after the #.")
        return render_open_page(request, error=error)
    return _redirect_with_secret(request, path, secret)


async def show_link_page(request: Request) -> Response:
    """Redirect to the page of a link: browsers show the address of the form after a wrong link."""
    return RedirectResponse(request.url.path.removesuffix("/openings"), 303)


def redirect_from_query(request: Request) -> Response | None:
    """Redirect a link with its secret in the query to the page without it, or return None."""
    texts = [request.query_params.get(name, "") for name in QUERY_NAMES]
    secret = next((text for text in texts if text), "")
    if not secret:
        return None
    return _redirect_with_secret(request, request.url.path, secret)


def read_link_secret(request: Request) -> str:
    """Return the secret with which this page was opened, or ""."""
    return read_cookie(request, LINK_COOKIES[request.url.path])


def forget_link_secret(request: Request, response: Response, path: str) -> Response:
    """Delete the secret after the link was used."""
    return write_cookie(request, response, LINK_COOKIES[path], "", max_age=0)


def render_open_page(request: Request, *, error: str = "") -> Response:
    """Render the page for a link without its secret."""
    path = request.url.path.removesuffix("/openings")
    status = 422 if error else 200
    page = render_page(
        request,
        "one_time_links/open.html",
        status=status,
        action=f"{path}/openings",
        error=error,
    )
    return forbid_storage(page)


def _redirect_with_secret(request: Request, path: str, secret: str) -> Response:
    is_plausible = len(secret) <= 200 and secret.isascii() and secret.isprintable()
    value = secret if is_plausible and " " not in secret else "-"
    response = RedirectResponse(path, 303)
    return write_cookie(request, response, LINK_COOKIES[path], value, max_age=3600)


@asynccontextmanager
async def count_invalid_link(request: Request) -> AsyncGenerator[None]:
    """Count a link that raises NotFound in the block. Raises TooMany above the limit.

    Valid links always work: a link cannot be guessed, and is cheap to look up.
    """
    try:
        yield
    except NotFound:
        await viewer.credential_verifier(request).record_invalid_link(
            viewer.client_network(request)
        )
        raise


async def redeem_link(
    request: Request,
    password: str,
    redeem: Callable[[Session, str], Awaitable[User]],
    *,
    email: str | None,
) -> Response:
    """Redeem a valid link with a password, and sign its user in. Raises TooMany.

    `email` is the address of the account. `redeem` redeems the link with the password hash, and
    returns the user.
    """
    password_hash = await hash_password(request, password, email)
    audit.use_credential("link")
    async with open_transaction(request) as session:
        user = await redeem(session, password_hash)
        secret = await identity.start_session(session, user, **session_metadata(request))
    response = set_session_cookie(request, RedirectResponse("/", 303), secret)
    return forget_link_secret(request, response, request.url.path)


async def hash_password(request: Request, password: str, email: str | None) -> str:
    """Return the hash of a new password. Raises Invalid and TooMany."""
    verifier = viewer.credential_verifier(request)
    lane = f"link {viewer.client_network(request)}"
    return await verifier.hash_new_password(password, "password", email=email, lane=lane)


def render_invalid_link(request: Request, error: NotFound) -> Response:
    """Render that a link is not valid, and why. Its secret is forgotten for the next link."""
    response = render_private_page(
        request, "one_time_links/invalid.html", status=GONE, reason=describe_error(error)
    )
    return forget_link_secret(request, response, f"/{request.url.path.split('/')[1]}")


def render_private_page(
    request: Request, template: str, *, status: int, **context: Any
) -> Response:
    """Render a page with the secret of a link. It is not stored or sent to other sites.

    With `no-referrer`, browsers would not send the origin of its forms.
    """
    response = render_page(request, template, status=status, **context)
    response.headers["Referrer-Policy"] = "same-origin"
    return forbid_storage(response)


class FirstOwnerForm(FirstOwnerCreate):
    """The account of the first owner, with a password."""

    password: forms.Secret


async def show_first_run(request: Request) -> Response:
    """Show the form if the link is valid."""
    if redirect := redirect_from_query(request):
        return redirect
    link = read_link_secret(request)
    if not link:
        return render_open_page(request)
    if await _is_link_valid(request, link):
        return _render_first_run_form(request, link, forms.Form())
    return _render_first_run_closed(request)


async def complete_first_run(request: Request) -> Response:
    """Create the first owner, and sign them in."""
    form = await forms.read_form(request)
    link = form.value("link")
    try:
        with form.catch_errors():
            fields = form.parse(FirstOwnerForm, {"password": form.value("password")})
            if not await _is_link_valid(request, link):
                return _render_first_run_closed(request)
            password_hash = await hash_password(request, fields.password, fields.email)
            audit.use_credential("link")
            async with open_transaction(request) as session:
                user = await identity.complete_first_run(
                    session, link, fields, password_hash=password_hash
                )
                secret = await identity.start_session(session, user, **session_metadata(request))
                member = await organizations.find_current_membership(session, user)
                await organizations.add_users_to_demo_organization(session)
                path = "/"
                if (
                    member is not None
                    and organizations.has_default_name(member.organization)
                    and await boards.find_changeable_board(session, member) is None
                ):
                    path = "/welcome?step=organization"
            response = set_session_cookie(request, RedirectResponse(path, 303), secret)
            return forget_link_secret(request, response, request.url.path)
    except NotFound:
        return _render_first_run_closed(request)
    return _render_first_run_form(request, link, form)


async def _is_link_valid(request: Request, link: str) -> bool:
    async with open_transaction(request) as session:
        return await identity.is_first_run_open(session, link)


def _render_first_run_form(request: Request, link: str, form: forms.Form) -> Response:
    page = render_page(
        request,
        "first_run/show.html",
        status=form.status,
        form=form,
        fields=build_form_fields(form, FirstOwnerCreate),
        link=link,
        min_password_length=identity.MIN_PASSWORD_LENGTH,
    )
    return forbid_storage(page)


def _render_first_run_closed(request: Request) -> Response:
    return render_page(request, "first_run/invalid.html", status=GONE)


class NewPasswordForm(BaseModel):
    """A new password."""

    password: forms.Secret


async def show_password_form(request: Request) -> Response:
    """Show the form if the link is valid. Raises TooMany."""
    if redirect := redirect_from_query(request):
        return redirect
    if not (link := read_link_secret(request)):
        return render_open_page(request)
    return await _render_password_form(request, link, forms.Form())


async def set_password(request: Request) -> Response:
    """Set the password, end all other sessions, and sign the user in. Raises TooMany."""
    form = await forms.read_form(request)
    link = form.value("link")
    try:
        with form.catch_errors():
            fields = form.parse(NewPasswordForm)
            user = await _get_link_user(request, link)
            return await redeem_link(
                request,
                fields.password,
                lambda session, password_hash: identity.reset_password(
                    session, link, new_hash=password_hash
                ),
                email=user.email,
            )
    except NotFound as error:
        return render_invalid_link(request, error)
    return await _render_password_form(request, link, form)


async def _get_link_user(request: Request, link: str) -> User:
    async with count_invalid_link(request), open_transaction(request) as session:
        return await identity.get_password_link_user(session, link)


async def _render_password_form(request: Request, link: str, form: forms.Form) -> Response:
    try:
        user = await _get_link_user(request, link)
    except NotFound as error:
        return render_invalid_link(request, error)
    return render_private_page(
        request,
        "passwords/show.html",
        status=form.status,
        form=form,
        link=link,
        user=user,
        min_password_length=identity.MIN_PASSWORD_LENGTH,
    )


class AccountForm(AccountCreate):
    """The new account of an invited user, with a password."""

    password: forms.Secret


async def show_invite(request: Request) -> Response:
    """Show the invite of a link, and how to accept it. Raises TooMany."""
    if redirect := redirect_from_query(request):
        return redirect
    if not (token := read_link_secret(request)):
        return render_open_page(request)
    return await _render_invite(request, token, forms.Form())


async def accept_invite_with_new_account(request: Request) -> Response:
    """Create an account for an invite, and sign its user in. Raises TooMany."""
    form = await forms.read_form(request)
    token = form.value("token")

    async def register(session: Session, password_hash: str) -> User:
        user, _ = await identity.register_with_invite(
            session, token, fields, password_hash=password_hash
        )
        return user

    try:
        with form.catch_errors():
            fields = form.parse(AccountForm, {"password": form.value("password")})
            invite = await _get_invite(request, token)
            return await redeem_link(request, fields.password, register, email=invite.invited_email)
    except NotFound as error:
        return render_invalid_link(request, error)
    return await _render_invite(request, token, form)


async def accept_invite(request: Request) -> Response:
    """Accept an invite for the signed-in user, and open the organization. Raises TooMany."""
    form = await forms.read_form(request)
    token = form.value("token")
    try:
        with form.catch_errors():
            await _get_invite(request, token)
            async with open_transaction(request) as session:
                accepted = await organizations.accept_invite(session, request.user, token)
                organization_id = accepted.member.organization_id
                await organizations.switch_organization(session, request.user, organization_id)
            return forget_link_secret(request, RedirectResponse("/", 303), "/invite")
    except NotFound as error:
        return render_invalid_link(request, error)
    return await _render_invite(request, token, form)


async def _get_invite(request: Request, token: str) -> Invite:
    """Return the invite of a link. Raises NotFound or TooMany."""
    async with count_invalid_link(request), open_transaction(request) as session:
        return await organizations.get_open_invite(session, token)


async def _render_invite(request: Request, token: str, form: forms.Form) -> Response:
    try:
        invite = await _get_invite(request, token)
    except NotFound as error:
        return render_invalid_link(request, error)
    known = await current_viewer(request)
    return render_private_page(
        request,
        "invites/show.html",
        status=form.status,
        form=form,
        fields=build_form_fields(form, AccountCreate),
        token=token,
        invite=invite,
        user=known.user if known else None,
        is_for_user=known is not None and organizations.is_invite_for(invite, known.user),
        min_password_length=identity.MIN_PASSWORD_LENGTH,
    )
