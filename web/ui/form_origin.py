"""The origin of a form: the user to whom it was shown, and the page that shows it.

Each form that is posted has it in a hidden field, which the templates get when they are compiled,
with the id by which the form is executed once (`web/ui/submit_once.py`).
A form of one user is not executed for another one who has signed in in the same browser meanwhile,
and after an expired session the browser returns to its page (`web/auth/kept_forms.py`).
"""

import hmac
import re
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit
from uuid import UUID, uuid4

from jinja2.ext import Extension
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import Conflict
from core.http.request import read_body, replay_body
from core.security.encryption import SecretCipher
from web.ui.translation import _

FIELD = "form_origin"
ID_FIELD = "form_id"
REPEATS = "data-repeats"
KEPT_PARAMETER = "kept"  # in an address: the id of a form that is filled in again
VIEWER_HEADER = "Shown-To"  # of requests by scripts: for whom the page was rendered
BODY_KEY = "form_body"  # in the scope
SIGNATURE_LENGTH = 32  # characters

_FORM_TAG = re.compile(r"<form\b(?:\{\{.*?\}\}|\{%.*?%\}|[^>{]|\{(?![{%]))*>", re.DOTALL)
_ORIGIN = re.compile(rb"(?:^|&)form_origin=([^&]*)")

form_origin: ContextVar[str] = ContextVar("form_origin", default="")
"""The value of the hidden field in the forms of the current response, or "" without a user."""


@dataclass(frozen=True)
class FormOrigin:
    """The user to whom a form was shown, and the address of the page."""

    user_id: UUID
    page: str


class FormOriginExtension(Extension):
    """Adds the hidden fields to all forms that are posted.

    A form with `data-repeats` has no id: scripts send it several times before a response arrives.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source of a template with the fields behind the start tag of each form."""
        return _FORM_TAG.sub(_add_field, source)


def _add_field(tag: re.Match[str]) -> str:
    if 'method="post"' not in tag[0]:
        return tag[0]
    id_field = "" if REPEATS in tag[0] else "{{ form_id_field() }}"
    return f"{tag[0]}{{{{ form_origin_field() }}}}{id_field}"


_HIDDEN_FIELD = Markup('<input type="hidden" name="{}" value="{}">')


def render_origin_field() -> Markup:
    """Return the hidden field."""
    origin = form_origin.get()
    return _HIDDEN_FIELD.format(FIELD, origin) if origin else Markup()


def render_form_id() -> Markup:
    """Return the hidden field with the id of a form. Without a user, forms have none."""
    return _HIDDEN_FIELD.format(ID_FIELD, uuid4().hex) if form_origin.get() else Markup()


def read_form_origin(cipher: SecretCipher, body: bytes) -> FormOrigin | None:
    """Return the origin of a submitted form, or None without a valid signature."""
    found = _ORIGIN.search(body)
    user, _dot, rest = unquote_plus(found[1].decode("ascii", "replace") if found else "").partition(
        "."
    )
    signature, _dot, page = rest.partition(".")
    if not hmac.compare_digest(signature.encode(), _sign_user(cipher, user).encode()):
        return None
    return FormOrigin(UUID(user), page)


def find_page(request: Request) -> str:
    """Return the address of the page that sends a request."""
    url = request.url
    referrer = request.headers.get("Referer") if request.method != "GET" else ""
    given = request.headers.get("HX-Current-URL") or referrer or f"{url.path}?{url.query}"
    try:
        page = urlsplit(given)
    except ValueError:
        return "/"
    query = [pair for pair in parse_qsl(page.query, True) if pair[0] != KEPT_PARAMETER]
    path = "/" + page.path.lstrip("/\\")  # never the address of another host
    return f"{path}?{urlencode(query)}" if query else path


class FormOriginMiddleware:
    """Rejects requests from pages that were shown to another user."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request. Raises Conflict for a form of another user."""
        request = Request(scope, receive)
        user_id, cipher = request.user.id, request.state.secret_cipher
        shown_to = request.headers.get(VIEWER_HEADER, "").partition(".")[0]
        if shown_to and shown_to != str(user_id):
            await Response(status_code=401)(scope, receive, send)
            return
        origin = FormOrigin(user_id, "")
        if scope["method"] == "POST":
            body = scope[BODY_KEY] = await read_body(request)
            receive = replay_body(body, receive)
            origin = read_form_origin(cipher, body) or origin
        if origin.user_id != user_id:
            raise Conflict("other_user", _("This page was opened by another user. Load it again."))
        page = origin.page or find_page(request)
        form_origin.set(f"{user_id}.{_sign_user(cipher, str(user_id))}.{page}")
        await self.app(scope, receive, send)


def _sign_user(cipher: SecretCipher, user: str) -> str:
    return cipher.digest(f"{FIELD}:{user}".encode())[:SIGNATURE_LENGTH]
