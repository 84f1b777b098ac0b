"""Forms that are posted: each one belongs to a user, is executed once, and outlives a session.

Templates get two hidden fields for each form when they are compiled. The origin names the user to
whom the form was shown, signed, and the page that shows it. The other one is an id of the form.

The address of a page with long filters would be in each of its forms. So it is there without its
query, which the browser names as the page that submits the form.

- A form of one user is not executed for another one who has signed in in the same browser.
- A form that is sent twice, by a double click or after a lost connection, is executed once. The
  first request with the id is executed; a second one waits for it, and leads where it led. Forms
  that were rejected or that only show something may be sent again.
- A form that arrives after the session has ended, or before a sign-in that must be repeated, is not
  executed. Its fields are kept for an hour without passwords and tokens, and filled in again after
  the same user has signed in.

See docs/decisions/idempotency.md.
"""

import asyncio
import hmac
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from secrets import token_hex
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit
from uuid import UUID

from jinja2 import Environment
from jinja2.ext import Extension
from markupsafe import Markup, escape
from python_multipart.multipart import parse_options_header
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Conflict
from core.http.request import open_reader, open_transaction, read_body, replay_body
from core.security.encryption import SecretCipher
from services import idempotency, kept_forms
from services.idempotency import IdempotentRequest, StoredResponse
from services.kept_forms import FormContent
from web.auth.viewer import EVENTS_PATH
from web.ui import forms
from web.ui.translation import N_

ORIGIN_FIELD = "form_origin"
ID_FIELD = "form_id"
REPEATS = "data-repeats"
PICK_PREFIX = "pick."  # in an address, before the name of a field: what was picked for it
TOGGLE_PREFIX = "toggle."  # likewise: a value that is added, or taken out if it was chosen before
PICKER_PATH = "/pick/"  # to which forms are posted that are only left for a while
VIEWER_HEADER = "Shown-To"  # of requests by scripts: for whom the page was rendered
SIGNATURE_LENGTH = 32  # characters
PATH_CHARACTERS = "/%:@!$&'()*+,;=~"  # that are not quoted in an address
MAX_PAGE_LENGTH = 200  # characters of an address in each form of a page
BODY_KEY = "form_body"  # in the scope
UNCHANGED_KEY = "has_form_changed_nothing"  # in the scope, whatever the status says

Fields = Sequence[tuple[str, str]]

_FORM_TAG = re.compile(r"<form\b(?:\{\{.*?\}\}|\{%.*?%\}|[^>{]|\{(?![{%]))*>", re.DOTALL)
_FIELDS = {
    name: re.compile(rf"(?:^|&){name}=([^&]*)".encode()) for name in (ORIGIN_FIELD, ID_FIELD)
}
_FORM_ID = re.compile("[0-9a-f]{32}")

form_origin: ContextVar[str] = ContextVar("form_origin", default="")
"""The value of the hidden field in the forms of the current response, or "" without a user."""

filled_fields: ContextVar[Sequence[tuple[str, str]]] = ContextVar("filled_fields", default=())
"""The fields of the form that is filled in on the current page, and what was picked for them.

A link of somebody else cannot choose values: what was picked counts only with a form that is kept.
"""


# The hidden fields


class FormFieldsExtension(Extension):
    """Adds the hidden fields to all forms that are posted.

    A form with `data-repeats` has no id: scripts send it several times before a response arrives.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source of a template with the fields behind the start tag of each form."""

        def add_fields(found: re.Match[str]) -> str:
            tag = found[0]
            if 'method="post"' not in tag:
                return tag
            id_field = "" if REPEATS in tag else "{{ form_id_field() }}"
            return f"{tag}{{{{ form_origin_field() }}}}{id_field}"

        return _FORM_TAG.sub(add_fields, source)


def render_origin_field() -> Markup:
    """Return the hidden field with the origin of a form."""
    origin = form_origin.get()
    return _render_hidden_field(ORIGIN_FIELD, origin) if origin else Markup()


def render_form_id() -> Markup:
    """Return the hidden field with the id of a form. Without a user, forms have none."""
    return _render_hidden_field(ID_FIELD, token_hex(16)) if form_origin.get() else Markup()


def _render_hidden_field(name: str, value: str) -> Markup:
    # Markup.format takes five times as long, and a page has thirty of these fields.
    return Markup(f'<input type="hidden" name="{name}" value="{escape(value)}">')  # noqa: S704 (escaped)


@dataclass(frozen=True)
class FormOrigin:
    """The user to whom a form was shown, and the address of the page."""

    user_id: UUID
    page: str


def build_form_origin(request: Request, page: str) -> str:
    """Return the origin of the forms of a response, whose page has this address.

    Only after a GET request, the browser knows the address of the page.
    """
    user, cipher = str(request.user.id), request.state.secret_cipher
    if request.method == "GET" and len(page) > MAX_PAGE_LENGTH:
        page = page.partition("?")[0]
    return f"{user}.{_sign_user(cipher, user)}.{page}"


def read_form_origin(request: Request, body: bytes) -> FormOrigin | None:
    """Return the origin of a submitted form, or None without a valid signature."""
    text = _find_field(request, body, ORIGIN_FIELD)
    user, _dot, rest = text.partition(".")
    signature, _dot, page = rest.partition(".")
    expected = _sign_user(request.state.secret_cipher, user)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        return None
    page, sent_by = _clean_page(page), find_page(request)
    return FormOrigin(UUID(user), sent_by if sent_by.partition("?")[0] == page else page)


def _find_field(request: Request, body: bytes, name: str) -> str:
    """Return the value of a hidden field, or "" if the form does not have it.

    A form with a file consists of parts. The boundary is in none of them, so a file that looks like
    a form, or like another part, is not mistaken for the field.
    """
    content_type, boundary = _read_content_type(request)
    if not content_type.startswith(b"multipart/"):
        found = _FIELDS[name].search(body)
        return unquote_plus(found[1].decode("ascii", "replace")) if found else ""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n' % (boundary, name.encode())
    if body.startswith(head):
        rest = body.removeprefix(head)
    else:
        _before, _head, rest = body.partition(b"\r\n" + head)
    value, end, _after = rest.partition(b"\r\n")
    return value.decode("utf-8", "replace") if end else ""


def _read_content_type(request: Request) -> tuple[bytes, bytes]:
    """Return the content type of a form, and what separates its parts."""
    content_type, options = parse_options_header(request.headers.get("Content-Type"))
    return content_type, options.get(b"boundary", b"")


def _sign_user(cipher: SecretCipher, user: str) -> str:
    return cipher.digest(f"{ORIGIN_FIELD}:{user}".encode())[:SIGNATURE_LENGTH]


def find_page(request: Request) -> str:
    """Return the address of the page that sends a request."""
    url = request.url
    referrer = request.headers.get("Referer") if request.method != "GET" else ""
    return _clean_page(
        request.headers.get("HX-Current-URL") or referrer or f"{url.path}?{url.query}"
    )


def _clean_page(address: str) -> str:
    """Return the address of a page of ours, as a header can contain it."""
    try:
        page = urlsplit(address)
    except ValueError:
        return "/"
    query = [
        pair
        for pair in parse_qsl(page.query, True)
        if pair[0] != forms.KEPT_PARAMETER and not pair[0].startswith((PICK_PREFIX, TOGGLE_PREFIX))
    ]
    own_path = page.path.lstrip("/\\")  # never the address of another host
    path = "/" + quote(own_path, safe=PATH_CHARACTERS)
    return f"{path}?{urlencode(query)}" if query else path


class PostedFormMiddleware:
    """Rejects the forms of other users, executes each form once, and fills in what was kept."""

    def __init__(self, app: ASGIApp, environment: Environment) -> None:
        self.app = app
        self.environment = environment  # of the notice in a form that is filled in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request. Raises Conflict for a form of another user."""
        request = Request(scope, receive)
        user_id = request.user.id
        shown_to = request.headers.get(VIEWER_HEADER, "").partition(".")[0]
        if shown_to and shown_to != str(user_id):
            await Response(status_code=401)(scope, receive, send)
            return
        body, origin = b"", FormOrigin(user_id, "")
        if request.method == "POST":
            body = scope[BODY_KEY] = await read_body(request)
            receive = replay_body(body, receive)
            origin = read_form_origin(request, body) or origin
        if origin.user_id != user_id:
            raise Conflict("other_user", N_("This page was opened by another user. Load it again."))
        page = origin.page or find_page(request)
        form_origin.set(build_form_origin(request, page))
        content = await _find_content_to_fill(request) if request.method == "GET" else None
        filled_fields.set(content.fields if content else ())
        if form := _identify_form(request, body):
            await self._execute_once(request, form, page, receive, send)
        elif content:
            await self._fill_response(content, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _execute_once(
        self, request: Request, form: IdempotentRequest, page: str, receive: Receive, send: Send
    ) -> None:
        """Execute a form and store its response, or answer it as the first request with its id.

        The id of a form that has changed nothing is released. A page that was not sent completely,
        because the browser has closed the connection, is not stored: the form leads to its own.
        """
        if stored := await _claim_form(request, form):
            response = _build_repeated_response(request, stored, page)
            await response(request.scope, receive, send)
            return
        status, kept, content, is_complete = 500, dict[str, str](), bytearray(), False

        async def observe(message: Message) -> None:
            nonlocal status, kept, is_complete
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.get("headers", []))
                kept = {name: headers[name] for name in STORED_HEADERS if name in headers}
            elif not _is_htmx(request):
                content.extend(message.get("body", b""))
                is_complete = not message.get("more_body")
            await send(message)

        try:
            await self.app(request.scope, receive, observe)
        finally:
            is_unchanged = request.scope.get(UNCHANGED_KEY)
            async with open_transaction(request) as session:
                if status < 400 and not is_unchanged:
                    page_text = content.decode() if is_complete else ""
                    response = StoredResponse(status, kept, page_text)
                    cipher = request.state.secret_cipher
                    await idempotency.store_response(session, form, response, cipher)
                elif is_unchanged or status not in MAYBE_DONE:
                    await idempotency.release_key(session, form)

    async def _fill_response(
        self, content: FormContent, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Forward the request, and fill the form in the page."""
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            body.extend(message.get("body", b""))

        def render_notice(is_filled: bool, rest: list[tuple[str, str]]) -> str:
            is_whole = is_filled and not rest and not content.had_secrets and content.is_complete
            if is_whole and _is_left(content):
                return ""
            notice = self.environment.get_template("sign_in/_restored_form.html")
            return notice.render(
                is_filled=is_filled,
                is_left=_is_left(content),
                rest=rest,
                had_secrets=content.had_secrets,
                is_complete=content.is_complete,
            )

        await self.app(scope, receive, collect)
        headers = MutableHeaders(scope=start)
        if headers.get("Content-Type", "").startswith("text/html"):
            filled = fill_form(body.decode(), content.path, content.fields, render_notice)
            body = bytearray(filled.encode())
            headers["Content-Length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": bytes(body)})


# Each form once

STORED_HEADERS = ("location", "set-cookie", "hx-redirect", "content-type", "cache-control")
MAYBE_DONE = (500, 503)  # statuses of errors that may have happened after the commit
WAIT_INTERVAL = 0.1  # seconds between two looks whether the first request is answered
MAX_WAITS = 100


def allow_repetition(request: Request) -> None:
    """Let a form be sent again, although it is not answered with an error: it changed nothing."""
    request.scope[UNCHANGED_KEY] = True


def _identify_form(request: Request, body: bytes) -> IdempotentRequest | None:
    """Return the key of a form: its id and content, because the page may be used again.

    The hash of the content is keyed, because some forms contain a password.
    """
    form_id, member = _find_field(request, body, ID_FIELD), request.auth.member
    if not _FORM_ID.fullmatch(form_id):
        return None
    _content_type, boundary = _read_content_type(request)
    if boundary:  # another one each time that the form is sent
        body = body.replace(boundary, b"")
    place = f"{member.organization_id if member else ''} {request.url.path}"
    fingerprint = request.state.secret_cipher.digest(b"\0".join([place.encode(), body]))
    return IdempotentRequest(request.user.id, f"form:{form_id}:{fingerprint}", fingerprint)


async def _claim_form(request: Request, form: IdempotentRequest) -> StoredResponse | None:
    """Claim a form, or return where it led. Raises Conflict if the first request takes too long."""
    for _attempt in range(MAX_WAITS):
        try:
            async with open_transaction(request) as session:
                return await idempotency.claim_key(session, form, request.state.secret_cipher)
        except Conflict as error:
            if error.code != "idempotency_key_in_use":
                raise
        await asyncio.sleep(WAIT_INTERVAL)
    raise Conflict(
        "form_in_progress", N_("This form is still being processed. Try again in a minute.")
    )


def _build_repeated_response(request: Request, stored: StoredResponse, page: str) -> Response:
    """Answer as the first request was answered; with htmx the page is loaded again."""
    headers = dict(stored.headers)
    if _is_htmx(request):
        return Response(headers=headers if "hx-redirect" in headers else {"HX-Refresh": "true"})
    if stored.body:
        return Response(stored.body, stored.status, headers)
    return Response(status_code=303, headers={"location": page, **headers})


def _is_htmx(request: Request) -> bool:
    return request.headers.get("HX-Request") == "true"


# Forms without a session

SECRET_FIELD = re.compile(r"password|secret|token|credential|^(current|new)$", re.IGNORECASE)


async def redirect_to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back to the page. Raises TooLarge.

    A form is kept for the user to whom it was shown.
    """
    path = request.url.path
    if _is_htmx(request) or path.startswith(EVENTS_PATH):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    next = find_page(request)
    if request.method != "GET":
        body = await read_body(request)
        origin = read_form_origin(request, body)
        if origin is None or path == "/sign-out":
            next = "/"
        else:
            next = await _keep_form(request, origin.user_id, origin.page, body)
    return RedirectResponse("/sign-in" if next == "/" else f"/sign-in?next={quote(next)}", 303)


async def redirect_to_sign_in_again(request: Request, _error: Exception) -> Response:
    """Redirect to the page that asks for the password, which leads back to the current page."""
    allow_repetition(request)
    body = request.scope.get(BODY_KEY, b"")
    origin = read_form_origin(request, body)
    if origin is None:
        next = find_page(request)
    else:
        next = await _keep_form(request, request.user.id, origin.page, body)
    address = f"/sign-in/again?next={quote(next)}"
    if _is_htmx(request):
        return Response(status_code=403, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


class LeftForm(NamedTuple):
    """The page of a form, its id if something of it is kept, and whether that is all of it."""

    page: str
    id: UUID | None
    is_complete: bool


async def keep_posted_form(request: Request) -> LeftForm:
    """Keep a form that the user leaves to choose a value."""
    body = request.scope.get(BODY_KEY, b"")
    origin = read_form_origin(request, body)
    page = origin.page if origin else find_page(request)
    return LeftForm(page, *await _store_form(request, request.user.id, body))


def get_kept_address(page: str, id: UUID | None) -> str:
    """Return the address of a page that fills in a form that is kept."""
    return f"{page}{'&' if '?' in page else '?'}{forms.KEPT_PARAMETER}={id}" if id else page


def read_picked_values(name: str) -> list[str] | None:
    """Return the values of a field in the form that is filled in, or None if it is not in it."""
    return [value for field, value in filled_fields.get() if field == name] or None


async def _keep_form(request: Request, user_id: UUID, page: str, body: bytes) -> str:
    """Keep a form without its secrets, and return the address of its page, which fills it in."""
    id, _is_complete = await _store_form(request, user_id, body)
    return get_kept_address(page, id)


async def _store_form(request: Request, user_id: UUID, body: bytes) -> tuple[UUID | None, bool]:
    """Store a form without its secrets and what cannot be read.

    Return its id, or None if nothing is left of it, and whether all of it could be read.
    """
    if request.headers.get("Content-Type", "").startswith("multipart/"):
        return None, False
    pairs, is_complete = await forms.parse_readable_fields(body)
    posted = [pair for pair in pairs if pair[0] != ORIGIN_FIELD]
    fields = [pair for pair in posted if not SECRET_FIELD.search(pair[0])]
    if not fields:
        return None, is_complete
    had_secrets = len(fields) < len(posted)
    content = FormContent(request.url.path, fields, had_secrets, is_complete)
    async with open_transaction(request) as session:
        cipher = request.state.secret_cipher
        id = await kept_forms.keep_form(session, user_id, content, cipher)
    return id, is_complete


async def find_kept_form(request: Request, id: UUID) -> FormContent | None:
    """Return a form of the user that is kept, or None."""
    async with open_reader(request) as reader:
        cipher = request.state.secret_cipher
        return await kept_forms.find_kept_form(reader, request.user, id, cipher)


async def _find_content_to_fill(request: Request) -> FormContent | None:
    """Return the form that the address names, with the values that were picked for its fields."""
    id = forms.parse_id(request.query_params.get(forms.KEPT_PARAMETER))
    content = await find_kept_form(request, id) if id else None
    if content is None:
        return None
    picked = _list_picked_fields(request)
    names = {name for name, _value in picked}
    fields = [pair for pair in content.fields if pair[0] not in names] + picked
    for name, value in request.query_params.multi_items():
        if name.startswith(TOGGLE_PREFIX):
            fields = _toggle_value(fields, name.removeprefix(TOGGLE_PREFIX), value)
    return replace(content, fields=fields)


def _toggle_value(fields: Fields, name: str, value: str) -> list[tuple[str, str]]:
    """Return the fields with a value of one of them added as the first, or taken out.

    The first of several values in a form is empty, so that none can be chosen.
    """
    others = [pair for pair in fields if pair[0] != name]
    values = [text for field, text in fields if field == name and text]
    kept = [text for text in values if text != value]
    chosen = ["", *([value] if kept == values else []), *kept]
    return [*others, *((name, text) for text in chosen)]


def _list_picked_fields(request: Request) -> list[tuple[str, str]]:
    """Return the fields for which values were picked, with these."""
    return [
        (name.removeprefix(PICK_PREFIX), value)
        for name, value in request.query_params.multi_items()
        if name.startswith(PICK_PREFIX)
    ]


def _is_left(content: FormContent) -> bool:
    """Return whether the user has left the form to choose a value, and was not signed out."""
    return content.path.startswith(PICKER_PATH)


# A form of a rendered page is filled in

Edit = tuple[int, int, str]
"""A part of the page by its begin and end, and what replaces it."""
NoticeRenderer = Callable[[bool, list[tuple[str, str]]], str]
"""Renders the notice: whether the form was found, and the values that have no field in it."""

UNFILLED_TYPES = {"password", "file", "submit", "button", "reset", "image"}
CHOICES = {"checkbox", "radio"}
CONTAINERS = {"details", "dialog"}


def fill_form(page: str, path: str, fields: Fields, render_notice: NoticeRenderer) -> str:
    """Return a page with the form filled in that was submitted to this path.

    Of several forms, it is the one with the most similar fields. A notice is at its beginning, or
    at that of the page if it has no such form.
    """
    reader = _FormReader(page)
    candidates = [form for form in reader.forms if form.is_sent_to(path)]
    form = min(candidates, key=lambda one: one.compare(fields), default=None)
    if form is None or form.compare(fields)[0] == len(dict(fields)):
        at = reader.main_end
        notice = render_notice(False, [pair for pair in fields if pair[0] != ID_FIELD])
        return page[:at] + notice + page[at:]
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in fields:
        values[name].append(value)
    edits = [edit for control in form.controls for edit in control.fill(values[control.name])]
    edits += [(one.start, one.end, one.render(open="")) for one in form.containers]
    shown = {one.name for one in form.controls if one.kind in {*CHOICES, "select", "button"}}
    shown.add(ID_FIELD)  # has no text that was typed
    left = {name: all for name, all in values.items() if name not in shown}
    rest = [(name, value) for name, all in left.items() for value in all if value]
    start = form.tag.render(**{"data-restored": ""}) + render_notice(True, rest)
    edits.append((form.tag.start, form.tag.end, start))
    for begin, end, text in sorted(edits, reverse=True):
        page = page[:begin] + text + page[end:]
    return page


@dataclass
class _Tag:
    """A start tag, and where it is in the page."""

    element: str
    attributes: dict[str, str | None]
    start: int
    end: int

    def get(self, attribute: str) -> str:
        return self.attributes.get(attribute) or ""

    def render(self, **changed: str | None) -> str:
        """Return the tag with an attribute for each value, and without those that are None."""
        attributes = {**self.attributes, **changed}
        shown = [
            f' {name}="{escape(value or "")}"'
            for name, value in attributes.items()
            if name not in changed or value is not None
        ]
        return f"<{self.element}{''.join(shown)}>"


@dataclass
class _Control(_Tag):
    """A field of a form with its options, or a button."""

    content_end: int = 0  # of a text area
    options: list[_Tag] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.get("name")

    @property
    def kind(self) -> str:
        return self.get("type").lower() if self.element == "input" else self.element

    def fill(self, values: list[str]) -> list[Edit]:
        """Return the changes that show the values; a field with a text takes the first one."""
        if self.kind in UNFILLED_TYPES or self.name == ORIGIN_FIELD:
            return []
        if self.kind in CHOICES:
            is_on = self.attributes.get("value", "on") in values
            return [(self.start, self.end, self.render(checked="" if is_on else None))]
        if self.kind == "select":
            edits: list[Edit] = []
            for option in self.options:
                selected = "" if option.get("value") in values else None
                edits.append((option.start, option.end, option.render(selected=selected)))
            return edits
        if not values:
            return []
        if self.kind == "textarea":
            return [(self.end, self.content_end, f"\n{escape(values.pop(0))}")]
        return [(self.start, self.end, self.render(value=values.pop(0)))]


@dataclass
class _PageForm:
    """A form of the page, its fields and buttons, and the closed elements around it."""

    tag: _Tag
    containers: list[_Tag]
    controls: list[_Control] = field(default_factory=list)

    def is_sent_to(self, path: str) -> bool:
        """Return whether the form, or one of its buttons, posts to a path."""
        buttons = [one for one in self.controls if one.kind == "button"]
        addresses = [self.tag.get("action"), *(one.get("formaction") for one in buttons)]
        is_posted = self.tag.get("method").lower() == "post"
        return is_posted and path in [urlsplit(address).path for address in addresses]

    def compare(self, fields: Fields) -> tuple[int, int, int]:
        """Return how much the form differs from the one that was submitted."""
        sent, known = dict(fields), {one.name for one in self.controls}
        own = {one.name for one in self.controls if one.element != "button"}
        other_hidden = [
            one
            for one in self.controls
            if one.kind == "hidden"
            and one.name not in (ORIGIN_FIELD, ID_FIELD)
            and one.get("value") != sent.get(one.name)
        ]
        return len(sent.keys() - known), len(other_hidden), len(own - sent.keys())


class _FormReader(HTMLParser):
    """Finds the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[_PageForm] = []
        self.main_end = 0
        self._lines = [0]
        for line in page.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._form: _PageForm | None = None
        self._containers: list[_Tag] = []
        self._field: _Control | None = None  # the last one
        self._apart: list[_Control] = []  # name their form by its id
        self.feed(page)
        self.close()
        for form in self.forms:
            id = form.tag.get("id")
            form.controls += [one for one in self._apart if id and one.get("form") == id]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start = self._offset()
        found = _Control(tag, dict(attrs), start, start + len(self.get_starttag_text() or ""))
        if tag in ("input", "textarea", "select") and found.name:
            self._field = found
            self._add_control(found)
        elif tag == "button":
            self._add_control(found)
        elif tag == "option" and self._field and "value" in found.attributes:
            self._field.options.append(found)
        elif tag in CONTAINERS:
            self._containers.append(found)
        elif tag == "main":
            self.main_end = found.end
        elif tag == "form":
            self._form = _PageForm(found, [*self._containers])
            self.forms.append(self._form)

    def _add_control(self, control: _Control) -> None:
        if "form" in control.attributes:
            self._apart.append(control)
        elif self._form:
            self._form.controls.append(control)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in CONTAINERS and self._containers:
            self._containers.pop()
        elif tag == "textarea" and self._field:
            self._field.content_end = self._offset()

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column
