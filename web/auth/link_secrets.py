"""The secrets of one-time links, which must not stay in the address of a page.

A link has its secret behind the #, which browsers send to no server and to no other page. A script
posts it once; it is then in a cookie, so it is in no address, in no log, and not in the path to
which a sign-in returns. Links that were made by an earlier version have it in the query.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.auth.viewer import read_cookie, write_cookie
from web.ui import forms
from web.ui.render import forbid_storage, render_page
from web.ui.translation import _

LINK_COOKIES = {
    "/first-run": "mission_control_first_run",
    "/invite": "mission_control_invite",
    "/password": "mission_control_password",
}
"""The pages that one-time links open, and the cookies with their secrets."""

LINK_COOKIE_MAX_AGE = 3600  # seconds
MAX_SECRET_LENGTH = 200  # characters
QUERY_NAMES = ("token", "link")


def build_link(base_url: str, path: str, secret: str) -> str:
    """Build the address of a one-time link."""
    return f"{base_url}{path}#{secret}"


async def open_link(request: Request) -> Response:
    """Keep the secret of a posted link, and redirect to its page."""
    path = request.url.path.removesuffix("/openings")
    secret = _find_secret((await forms.read_form(request)).value("link"))
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
    is_plausible = len(secret) <= MAX_SECRET_LENGTH and secret.isascii() and secret.isprintable()
    value = secret if is_plausible and " " not in secret else "-"
    response = RedirectResponse(path, 303)
    return write_cookie(request, response, LINK_COOKIES[path], value, max_age=LINK_COOKIE_MAX_AGE)


def _find_secret(text: str) -> str:
    """Return the secret in a pasted link."""
    for separator in ("#", *(f"{name}=" for name in QUERY_NAMES)):
        text = text.rpartition(separator)[2]
    return text.strip()
