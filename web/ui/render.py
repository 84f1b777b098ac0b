"""Rendering of pages, parts of pages and errors."""

import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from core.config.paths import COMMAND
from core.errors import AppError, TooMany
from core.http.middleware import log_error, request_id
from core.http.request import STATUS_CODES, open_reader
from core.version import VERSION
from services.organization_lookup import OtherOrganization, find_other_organization
from web.agents.problem_texts import describe_failure, describe_hold
from web.auth.viewer import EVENTS_PATH, current_viewer, format_stream_key
from web.ui import avatars, menus, time_format, translation
from web.ui.assets import asset_url, render_icon
from web.ui.edited_fields import get_shown_hash
from web.ui.flash_cookies import forget_notice, read_notice
from web.ui.formatted_texts import run_in_page_thread
from web.ui.layout import PageLayout, current_path, load_layout
from web.ui.locale_format import describe_error, format_number, reader_command_key
from web.ui.posted_forms import FormFieldsExtension, render_form_id, render_origin_field
from web.ui.template_environment import TEMPLATE_TEXTS, TemplateEnvironment, get_script_texts
from web.ui.text_display import (
    LOW_CONFIDENCE,
    describe_confidence,
    format_score,
    name_unusual_characters,
    reveal,
    reveal_lines,
    reveal_text,
)
from web.ui.translation import _

TEMPLATES = Path(__file__).parent.parent.parent / "templates"

ERROR_TEMPLATES = {403: "errors/403.html", 404: "errors/404.html", 500: "errors/500.html"}

TOAST_HEADERS = {
    "HX-Retarget": "#toasts",
    "HX-Reswap": "beforeend",
    "HX-Reselect": "[data-toast]",
    "HX-Push-Url": "false",
}
"""Headers that make htmx show a response as a toast, whatever target the form has."""

CACHE_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept-Language, Cookie, HX-Request, HX-Request-Type",
}
"""Headers of pages and parts. Those that show a secret are not stored at all."""

MAX_WHOLE_LENGTH = 1_000_000  # characters of a page that is sent at once
SLICE_LENGTH = 250_000  # characters that are sent at once of a longer page
DIGEST_SIZE = 12  # bytes, of an ETag

GLOBAL_FUNCTIONS: dict[str, Any] = {
    "asset_url": asset_url,
    "describe_failure": describe_failure,
    "form_id_field": render_form_id,
    "form_origin_field": render_origin_field,
    "describe_hold": describe_hold,
    "heartbeat_meter": time_format.build_heartbeat_meter,
    "command_key": reader_command_key.get,
    "emoji_icon": avatars.emoji_icon,
    "agent_hue": avatars.agent_hue,
    "get_shown_hash": get_shown_hash,
    "icon": render_icon,
    "initials": avatars.initials,
    "language": translation.reader_language.get,
    "language_names": translation.LANGUAGES,
    "low_confidence": LOW_CONFIDENCE,
    "menus": menus,
    "request_id": request_id.get,
    "product_version": VERSION,
    "script_texts": get_script_texts,
    "server_command": COMMAND,
    "state_icon": avatars.state_icon,
    "state_name": avatars.state_name,
}
"""Functions that templates can call, and constants."""

GLOBAL_FILTERS: dict[str, Any] = {
    "absolute": time_format.format_absolute,
    "age": time_format.format_age,
    "html_attributes": avatars.html_attributes,
    "confidence": describe_confidence,
    "day": time_format.format_day,
    "deadline": time_format.format_deadline,
    "hex_colour": avatars.hex_colour,
    "iso": time_format.format_iso,
    "number": format_number,
    "time_left": time_format.format_time_left,
    "overdue": time_format.is_overdue,
    "reveal": reveal,
    "name_unusual_characters": name_unusual_characters,
    "reveal_lines": reveal_lines,
    "reveal_text": reveal_text,
    "round_to_five": avatars.round_to_five,
    "score": format_score,
}
"""Filters of the templates, such as {{ moment | age }}."""

environment = TemplateEnvironment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    cache_size=-1,  # all: by default 400 are kept, and the others are compiled again and again
    auto_reload=False,  # else each template's file is checked whenever it is included
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[FormFieldsExtension],
)
environment.globals.update(TEMPLATE_TEXTS)
GLOBAL_FUNCTIONS["render_cached"] = environment.render_cached
GLOBAL_FUNCTIONS["render_macro"] = environment.render_macro
environment.globals.update(GLOBAL_FUNCTIONS)
environment.filters.update(GLOBAL_FILTERS)


class LongResponse(StreamingResponse):
    """A long page or part, which is encoded and sent in slices. It has no body that can be read."""

    def __init__(self, pieces: Iterable[str], status: int, headers: Mapping[str, str]) -> None:
        super().__init__(_encode_slices(pieces), status, headers, media_type="text/html")


async def _encode_slices(pieces: Iterable[str]) -> AsyncIterator[bytes]:
    """Yield the pieces of a page together, as soon as they are long enough."""
    waiting: list[str] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length > SLICE_LENGTH:
            yield "".join(waiting).encode()
            waiting, length = [], 0
    yield "".join(waiting).encode()


def compile_templates(stopping: threading.Event) -> None:
    """Compile all templates, until `stopping` is set; call this in a thread.

    Those of one page take up to 0.1 s, in which the event loop would handle no request.
    """
    for name in environment.list_templates():
        if stopping.is_set():
            return
        environment.get_template(name)


def render_part(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Render a part of a page.

    Browsers ask again before they show it from a cache; a part that is the same is not sent again,
    unless it is long. A page and its part share an address, and the back button has to show the
    page, so the cache distinguishes them.
    """
    variables = {"request": request, **context}
    pieces = list(environment.get_template(template).generate(variables))
    if sum(map(len, pieces)) > MAX_WHOLE_LENGTH:
        return LongResponse(pieces, status, CACHE_HEADERS)
    response = HTMLResponse("".join(pieces), status, CACHE_HEADERS)
    is_reload = request.method == "GET" and status == 200 and is_part_request(request)
    return _omit_known_content(request, response) if is_reload else response


async def render_in_thread(
    render: Callable[..., Response], request: Request, template: str, **context: Any
) -> Response:
    """Call `render_part` or `render_page` for a template with long texts, in a thread.

    The time is that of the functions that templates call for each text. Call it without a
    database connection.
    """
    return await run_in_page_thread(partial(render, request, template, **context))


def _omit_known_content(request: Request, response: Response) -> Response:
    """Answer with 304 if the browser has the same content, and names it by its ETag."""
    digest = hashlib.blake2b(bytes(response.body), digest_size=DIGEST_SIZE).hexdigest()
    etag = f'W/"{digest}"'
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers={**CACHE_HEADERS, "ETag": etag})
    response.headers["ETag"] = etag
    return response


def forbid_storage(response: Response) -> Response:
    """Keep a page that shows a secret out of all caches, also out of that of the browser."""
    response.headers["Cache-Control"] = "no-store"
    return response


def render_page(
    request: Request,
    template: str,
    *,
    layout: PageLayout | None = None,
    status: int = 200,
    **context: object,
) -> Response:
    """Render a page. Without a layout it stands alone, for users who are not signed in.

    With a layout the page subscribes to events after `layout.sidebar.last_seq`. While a page of a
    board is subscribed, its user counts as a viewer of the board.
    """
    full: dict[str, Any] = {**layout_context(request, layout), **context}
    full["toasts"] = [*full["toasts"], *(layout.notices if layout else ())]
    if notice := read_notice(request):
        full["toasts"].append({"text": notice})
    response = render_part(request, template, status, **full)
    response.background = layout.background if layout else None
    return forget_notice(request, response) if notice else response


def start_page(
    request: Request,
    template: str,
    title: str,
    load: Callable[[], Awaitable[Mapping[str, Any]]],
    *,
    layout: PageLayout,
) -> Response:
    """Send the head and the sidebar of a page, and the rest when `load` has returned its context.

    The browser requests the style sheet and shows the sidebar meanwhile. The status is 200 by then:
    check the rights before. If `load` fails, its error is the content of the page.
    """
    first = {**layout_context(request, layout), "request": request}
    first |= {"page_title": title, "is_started": True}
    notice = read_notice(request)
    first["toasts"] = [*layout.notices, *([{"text": notice}] if notice else [])]

    async def render_pieces() -> AsyncIterator[bytes]:
        yield environment.get_template("_page_start.html").render(first).encode()
        try:
            loaded = dict(await load())
            context = first | loaded | {"toasts": [*loaded.get("toasts", ()), *first["toasts"]]}
            pieces = list(environment.get_template(template).generate(context))
        except Exception as error:  # too late for the handlers: the response has begun
            pieces = list(_generate_late_error(request, error, first))
        async for one in _encode_slices(pieces):
            yield one

    headers = {**CACHE_HEADERS}
    response = StreamingResponse(render_pieces(), headers=headers, media_type="text/html")
    response.background = layout.background
    return forget_notice(request, response) if notice else response


def _generate_late_error(
    request: Request, error: Exception, context: Mapping[str, Any]
) -> Iterable[str]:
    if not isinstance(error, AppError):
        error = log_error(request.scope, error)
    status, message = _describe_any_error(error)
    template = environment.get_template(ERROR_TEMPLATES.get(status, "errors/error.html"))
    return template.generate(
        {**context, "message": message, "code": status, "other_organization": None}
    )


def _describe_any_error(error: Exception) -> tuple[int, str]:
    """Return the status and the text of an error, also of one that nobody expected."""
    if isinstance(error, AppError):
        return STATUS_CODES[type(error)], describe_error(error)
    return 500, _("Something went wrong on the server.")


def layout_context(request: Request, layout: PageLayout | None) -> Mapping[str, Any]:
    """Return the context of the layout templates."""
    live_url = None
    if layout is not None:
        live_url = (
            f"{EVENTS_PATH}?after={layout.sidebar.last_seq}&for={format_stream_key(layout.member)}"
        )
        if board_id := request.path_params.get("board_id"):
            live_url += f"&board={board_id}"
    return {
        "viewer": layout,
        "agent_stop": layout.agent_stop if layout else None,
        "waiting_count": layout.waiting.total if layout else 0,
        "sidebar": layout.sidebar if layout else None,
        "current_path": current_path(request),
        "live_url": live_url,
        "toasts": (),
        "is_started": False,
    }


def is_part_request(request: Request) -> bool:
    """Return whether htmx requests a part, not a page from which it selects a part."""
    is_htmx = request.headers.get("HX-Request") == "true"
    return is_htmx and request.headers.get("HX-Request-Type") != "full"


def redirect_to_page(request: Request, name: str, **path: object) -> Response:
    """Redirect a browser without htmx after a form was submitted."""
    return RedirectResponse(request.url_for(name, **path).path, 303)


async def handle_app_error(request: Request, error: Exception) -> Response:
    """Render an AppError: as a toast for htmx, else as a page."""
    assert isinstance(error, AppError)
    status = STATUS_CODES[type(error)]
    layout = await _load_layout_if_member(request, status)
    other = await _find_other_organization(request, layout) if status == 404 else None
    response = _render_error(request, status, describe_error(error), layout, other)
    return _add_retry_after(response, error)


async def handle_unknown_address(request: Request, error: Exception) -> Response:
    """Render an error of the router: an unknown path or a method that is not allowed."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    if "auth" not in request.scope:  # the route was not found before authentication
        request.scope["auth"] = await current_viewer(request)
    message = _("Page not found, or no access.")
    if status != 404:
        message = _("This address does not accept such requests.")
    response = _render_error(
        request, status, message, await _load_layout_if_member(request, status)
    )
    response.headers.update(error.headers or {})
    return response


async def handle_server_error(request: Request, error: Exception) -> Response:
    """Render an unexpected error, or an AppError outside the routes: no database, TooMany."""
    status, message = _describe_any_error(error)
    return _add_retry_after(_render_error(request, status, message, None), error)


def _add_retry_after(response: Response, error: Exception) -> Response:
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def _find_other_organization(
    request: Request, layout: PageLayout | None
) -> OtherOrganization | None:
    """Return the user's organization that has the object of a page which the open one has not."""
    if layout is None or len(layout.sidebar.organizations) < 2 or request.method != "GET":
        return None
    async with open_reader(request) as source:
        return await find_other_organization(source, layout.member, request.path_params)


def _render_error(
    request: Request,
    status: int,
    message: str,
    layout: PageLayout | None,
    other: OtherOrganization | None = None,
) -> Response:
    if request.headers.get("HX-Request") == "true":
        response = render_part(request, "_error_toast.html", status, message=message)
        response.headers.update(TOAST_HEADERS)
        return response
    template = ERROR_TEMPLATES.get(status, "errors/error.html")
    return render_page(
        request,
        template,
        layout=layout,
        status=status,
        message=message,
        code=status,
        other_organization=other,
    )


async def _load_layout_if_member(request: Request, status: int) -> PageLayout | None:
    viewer = request.scope.get("auth")
    is_htmx = request.headers.get("HX-Request") == "true"
    if is_htmx or status >= 500 or viewer is None or viewer.member is None:
        return None
    return await load_layout(request)


def retarget(response: Response, selector: str) -> None:
    """Make htmx replace one element with the same element of the response.

    Open editors are skipped when the part around them is replaced, so that typed text is not lost.
    This replaces the editor itself.
    """
    response.headers["HX-Retarget"] = selector
    response.headers["HX-Reselect"] = selector
    response.headers["HX-Reswap"] = "outerHTML"
    response.headers["HX-Push-Url"] = "false"
