"""Forms that are submitted when the session has ended, or when the user has to sign in again.

Their fields are kept for an hour, and filled in again after the same user has signed in. Nothing is
executed until the form is submitted again. Passwords and tokens are not kept.
"""

import re
from urllib.parse import quote
from uuid import UUID

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.http.request import open_reader, open_transaction, read_body
from services import kept_forms
from services.kept_forms import FormContent
from web.auth.viewer import EVENTS_PATH
from web.ui import forms
from web.ui.form_filler import fill_form
from web.ui.form_origin import BODY_KEY, FIELD, KEPT_PARAMETER, find_page, read_form_origin
from web.ui.render import environment
from web.ui.submit_once import allow_repetition

SIGN_OUT_PATH = "/sign-out"
SECRET_FIELD = re.compile(r"password|secret|token|credential|^(current|new)$", re.IGNORECASE)


async def redirect_to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back to the page. Raises TooLarge."""
    path = request.url.path
    if request.headers.get("HX-Request") == "true" or path.startswith(EVENTS_PATH):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    next = find_page(request)
    if request.method != "GET":
        next = await _keep_posted_form(request)
    return RedirectResponse("/sign-in" if next == "/" else f"/sign-in?next={quote(next)}", 303)


async def _keep_posted_form(request: Request) -> str:
    """Keep the form for the user to whom it was shown, and return the address of its page."""
    body = await read_body(request)
    origin = read_form_origin(request.state.secret_cipher, body)
    if origin is None or request.url.path == SIGN_OUT_PATH:
        return "/"
    return await _keep_form(request, origin.user_id, origin.page, body)


async def redirect_to_sign_in_again(request: Request, _error: Exception) -> Response:
    """Redirect to the page that asks for the password, which leads back to the current page."""
    allow_repetition(request)
    body = request.scope.get(BODY_KEY, b"")
    origin = read_form_origin(request.state.secret_cipher, body)
    if origin is None:
        next = find_page(request)
    else:
        next = await _keep_form(request, request.user.id, origin.page, body)
    address = f"/sign-in/again?next={quote(next)}"
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=403, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


async def _keep_form(request: Request, user_id: UUID, page: str, body: bytes) -> str:
    """Keep a form, and return the address of its page, which fills it in again."""
    content = await _read_content(request.url.path, body)
    if not content.fields:
        return page
    async with open_transaction(request) as session:
        cipher = request.state.secret_cipher
        id = await kept_forms.keep_form(session, user_id, content, cipher)
    return f"{page}{'&' if '?' in page else '?'}{KEPT_PARAMETER}={id}" if id else page


async def _read_content(path: str, body: bytes) -> FormContent:
    """Return the fields of a form without secrets; no fields if it cannot be read."""
    try:
        pairs = await forms.parse_fields(body)
    except ValueError:
        pairs = []
    posted = [pair for pair in pairs if pair[0] != FIELD]
    fields = [pair for pair in posted if not SECRET_FIELD.search(pair[0])]
    return FormContent(path, fields, had_secrets=len(fields) < len(posted))


class RestoredFormMiddleware:
    """Fills a form in that was kept, if the address of a page names it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, and fill the form in the response."""
        content = await _find_content(HTTPConnection(scope)) if scope["method"] == "GET" else None
        if content is None:
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            body.extend(message.get("body", b""))

        await self.app(scope, receive, collect)
        headers = MutableHeaders(scope=start)
        if headers.get("Content-Type", "").startswith("text/html"):
            body = bytearray(_fill_page(body.decode(), content).encode())
            headers["Content-Length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": bytes(body)})


async def _find_content(connection: HTTPConnection) -> FormContent | None:
    id = forms.parse_id(connection.query_params.get(KEPT_PARAMETER))
    if id is None:
        return None
    async with open_reader(connection) as reader:
        cipher = connection.state.secret_cipher
        return await kept_forms.find_kept_form(reader, connection.user, id, cipher)


def _fill_page(page: str, content: FormContent) -> str:
    def render_notice(is_filled: bool, rest: list[tuple[str, str]]) -> str:
        notice = environment.get_template("sign_in/_restored_form.html")
        return notice.render(is_filled=is_filled, rest=rest, had_secrets=content.had_secrets)

    return fill_form(page, content.path, content.fields, render_notice)
