"""Forms that are sent twice, by a double click or after a lost connection, are executed once.

Each form has an id of its own in a hidden field (`FormOriginExtension` in web/ui/form_origin.py).
The first request with the id is executed; a second one waits for it, and leads where it led.
Forms that were rejected or that only show something may be sent again. See
docs/decisions/idempotency.md.
"""

import asyncio
import re
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Conflict
from core.http.request import open_transaction, read_body, replay_body
from services import idempotency
from services.idempotency import IdempotentRequest, StoredResponse

FORM_ID = re.compile(
    rb"(?:^|&)form_id=([0-9a-f]{32})(?:&|$)"
    rb'|name="form_id"\r\n\r\n([0-9a-f]{32})\r\n'  # of a form with a file
)
KEPT_HEADERS = ("location", "set-cookie", "hx-redirect", "content-type", "cache-control")
MAYBE_DONE = (500, 503)  # statuses of errors that may have happened after the commit
WAIT_INTERVAL = 0.1  # seconds between two looks whether the first request is answered
MAX_WAITS = 100
UNCHANGED_KEY = "has_form_changed_nothing"  # in the scope, whatever the status says


class SubmitOnceMiddleware:
    """Executes each form once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a form with a new id; answer one with a known id as the first one."""
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await read_body(request)
        found = FORM_ID.search(body)
        if found is None:
            await self.app(scope, replay_body(body, receive), send)
            return
        form = _identify(request, (found[1] or found[2]).decode(), body)
        stored = await _claim(request, form)
        if stored is None:
            await self._run_first(request, form, replay_body(body, receive), send)
        else:
            await _build_response(request, stored)(scope, receive, send)

    async def _run_first(
        self, request: Request, form: IdempotentRequest, receive: Receive, send: Send
    ) -> None:
        """Execute a form, and store its response, or release its id if it changed nothing."""
        status, kept, page = 500, dict[str, str](), bytearray()

        async def observe(message: Message) -> None:
            nonlocal status, kept
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.get("headers", []))
                kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
            elif not _is_htmx(request):
                page.extend(message.get("body", b""))
            await send(message)

        try:
            await self.app(request.scope, receive, observe)
        finally:
            may_repeat = status >= 400 or request.scope.get(UNCHANGED_KEY)
            async with open_transaction(request) as session:
                if not may_repeat:
                    stored = StoredResponse(status, kept, page.decode())
                    cipher = request.state.secret_cipher
                    await idempotency.store_response(session, form, stored, cipher)
                elif request.scope.get(UNCHANGED_KEY) or status not in MAYBE_DONE:
                    await idempotency.release_key(session, form)


def allow_repetition(request: Request) -> None:
    """Let a form be sent again, although it is not answered with an error: it changed nothing."""
    request.scope[UNCHANGED_KEY] = True


def _identify(request: Request, form_id: str, body: bytes) -> IdempotentRequest:
    """Return the key of a form: its id and content, because the page may be used again.

    The hash of the content is keyed, because some forms contain a password.
    """
    member, options = (
        request.auth.member,
        parse_options_header(request.headers.get("Content-Type"))[1],
    )
    if boundary := options.get(b"boundary"):  # another one each time that the form is sent
        body = body.replace(boundary, b"")
    place = f"{member.organization_id if member else ''} {request.url.path}"
    fingerprint = request.state.secret_cipher.digest(b"\0".join([place.encode(), body]))
    return IdempotentRequest(request.user.id, f"form:{form_id}:{fingerprint}", fingerprint)


async def _claim(request: Request, form: IdempotentRequest) -> StoredResponse | None:
    """Claim a form, or return where it led. Raises Conflict if the first request takes too long."""
    for _ in range(MAX_WAITS):
        try:
            async with open_transaction(request) as session:
                return await idempotency.claim_key(session, form, request.state.secret_cipher)
        except Conflict as error:
            if error.code != "idempotency_key_in_use":
                raise
        await asyncio.sleep(WAIT_INTERVAL)
    raise Conflict("form_in_progress", "This form is still being processed. Try again in a minute.")


def _build_response(request: Request, stored: StoredResponse) -> Response:
    """Answer as the first request was answered; with htmx the page is loaded again."""
    headers = dict(stored.headers)
    if _is_htmx(request):
        return Response(headers=headers if "hx-redirect" in headers else {"HX-Refresh": "true"})
    if stored.body:
        return Response(stored.body, stored.status, headers)
    headers.setdefault("location", _find_page(request))
    return Response(status_code=303, headers=headers)


def _is_htmx(request: Request) -> bool:
    return request.headers.get("HX-Request") == "true"


def _find_page(request: Request) -> str:
    """Return the path of the page with the form."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return "/"
    path = "/" + page.path.lstrip("/\\")  # never the address of another host
    return f"{path}?{page.query}" if page.query else path
