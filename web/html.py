"""How pages, parts of pages and refusals are written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from kit.errors import Refusal, TooMany
from kit.http import STATUS_CODES
from web import ages, looks
from web import frame as frames
from web.assets import asset
from web.auth import looking_person
from web.exact import pieces
from web.frame import Frame
from web.icons import icon
from web.markdown import to_html

TEMPLATES = Path(__file__).parent.parent / "templates"

SCRIPTS = (
    "vendor/htmx-4.0.1.min.js",
    "vendor/hx-sse-4.0.1.min.js",
    "vendor/Sortable-1.15.7.min.js",
    "live.js",
    "ages.js",
    "board.js",
    "busy.js",
    "copy.js",
    "dialogs.js",
    "drafts.js",
    "drawer.js",
    "edits.js",
    "fresh.js",
    "invalid.js",
    "keys.js",
    "palette.js",
    "parts.js",
    "reveal.js",
    "rows.js",
    "select.js",
    "toasts.js",
    "unsaved.js",
    "zone.js",
)

PAGES_OF_REFUSALS = {403: "errors/403.html", 404: "errors/404.html", 500: "errors/500.html"}

NOTHING_HERE = "There is no such page, or not for you."
NOT_YOUR_DOING = "That did not work, and it is not your doing."

TO_TOASTS = {
    "HX-Retarget": "#toasts",
    "HX-Reswap": "beforeend",
    "HX-Reselect": "[data-toast]",
    "HX-Push-Url": "false",
}
"""What makes htmx put an answer among the toasts, whatever the form had in mind for it."""

FUNCTIONS: dict[str, Any] = {
    "asset": asset,
    "beat_of": ages.beat_of,
    "glyph": looks.glyph,
    "hue": looks.hue,
    "icon": icon,
    "initials": looks.initials,
    "scripts": SCRIPTS,
    "state_glyph": looks.state_glyph,
    "state_name": looks.state_name,
}
"""What templates may call."""

FILTERS: dict[str, Any] = {
    "absolute": ages.absolute,
    "age": ages.age,
    "attributes": looks.attributes,
    "day": ages.day,
    "deadline": ages.deadline,
    "hex": looks.hex_colour,
    "iso": ages.iso,
    "markdown": to_html,
    "left": ages.left,
    "overdue": ages.overdue,
    "pieces": pieces,
    "step5": looks.step5,
}
"""What templates may put a value through: {{ moment | age }}."""

environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.globals.update(FUNCTIONS)
environment.filters.update(FILTERS)
_templates = Jinja2Templates(env=environment)


def render(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Answer with a part of a page. Its times are those of the person who looks.

    A browser keeps none of it: a page and its part share an address, and who goes back wants the
    page.
    """
    person = request.scope.get("user")
    token = ages.reader_zone.set(ages.zone(getattr(person, "timezone", None)))
    kept = {"Cache-Control": "no-store"}
    try:
        return _templates.TemplateResponse(request, template, context, status, kept)
    finally:
        ages.reader_zone.reset(token)


def page(
    request: Request,
    template: str,
    *,
    frame: Frame | None = None,
    status: int = 200,
    **context: object,
) -> Response:
    """Answer with a page. Without a frame it stands alone: for those who are not signed in.

    With one, it listens to what happens after `frame.seen`; who looks at a page whose address is
    a board's is there for as long as it listens.
    """
    return render(request, template, status, **{**framed(request, frame), **context})


def framed(request: Request, frame: Frame | None) -> Mapping[str, Any]:
    """Return what the templates of the frame need: the rail, the bar of phones, the page around."""
    live_url = None
    if frame is not None:
        board_id = request.path_params.get("board_id")
        live_url = f"/events?after={frame.seen}" + (f"&board={board_id}" if board_id else "")
    return {
        "viewer": frame,
        "needs": frame.needs if frame else 0,
        "rail": frame.rail if frame else None,
        "seen": frame.seen if frame else 0,
        "here": shown_path(request),
        "live_url": live_url,
        "toasts": (),
    }


def shown_path(request: Request) -> str:
    """Return the path of the page that the person looks at, also when only a part is asked for."""
    shown = request.headers.get("HX-Current-URL")
    return urlsplit(shown).path if shown else request.url.path


def wants_part(request: Request) -> bool:
    """Whether htmx asks for the part that changed, and not for a page to take a part out of."""
    asked_by_htmx = request.headers.get("HX-Request") == "true"
    return asked_by_htmx and request.headers.get("HX-Request-Type") != "full"


def to_page(request: Request, name: str, **path: object) -> Response:
    """Send a browser without htmx to the page, after a form has been posted."""
    return RedirectResponse(request.url_for(name, **path).path, 303)


async def refused(request: Request, refusal: Exception) -> Response:
    """Say no: in a toast if htmx asked, else on a page, with the rail if the person is known."""
    assert isinstance(refusal, Refusal)
    status = STATUS_CODES[type(refusal)]
    response = _no(request, status, refusal.message, await _frame_if_known(request, status))
    if isinstance(refusal, TooMany):
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


async def not_found(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: an address or a method that does not exist."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    if "auth" not in request.scope:  # nobody has looked yet who asks
        request.scope["auth"] = await looking_person(request)
    message = NOTHING_HERE if status == 404 else str(error.detail)
    response = _no(request, status, message, await _frame_if_known(request, status))
    response.headers.update(error.headers or {})
    return response


def failed_page(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, and what has no answer because the database is away."""
    if isinstance(error, Refusal):
        return _no(request, STATUS_CODES[type(error)], error.message, None)
    return _no(request, 500, NOT_YOUR_DOING, None)


def _no(request: Request, status: int, message: str, frame: Frame | None) -> Response:
    if request.headers.get("HX-Request") == "true":
        response = render(request, "_refusal.html", status, message=message)
        response.headers.update(TO_TOASTS)
        return response
    template = PAGES_OF_REFUSALS.get(status, "errors/refused.html")
    return page(request, template, frame=frame, status=status, message=message, code=status)


async def _frame_if_known(request: Request, status: int) -> Frame | None:
    known = request.scope.get("auth")
    part = request.headers.get("HX-Request") == "true"
    if part or status >= 500 or known is None or known.member is None:
        return None
    return await frames.load(request)
