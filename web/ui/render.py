"""Rendering of pages, parts of pages and errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from core.errors import AppError, RecentSignInRequired, TooMany
from core.http.request import STATUS_CODES
from web.auth.viewer import current_viewer, redirect_to_sign_in_again
from web.ui import avatars, time_format
from web.ui.assets import asset_url, render_icon
from web.ui.layout import PageLayout, load_layout
from web.ui.text_display import (
    LOW_CONFIDENCE,
    describe_confidence,
    format_score,
    render_markdown,
    reveal,
    reveal_lines,
    reveal_text,
)

TEMPLATES = Path(__file__).parent.parent.parent / "templates"

SCRIPTS = (
    "vendor/htmx-4.0.1.min.js",
    "vendor/hx-sse-4.0.1.min.js",
    "vendor/Sortable-1.15.7.min.js",
    "live.js",
    "relative_time.js",
    "board.js",
    "busy_button.js",
    "copy.js",
    "decision_guard.js",
    "dialogs.js",
    "drafts.js",
    "drawer.js",
    "inline_editors.js",
    "highlight_changes.js",
    "focus_invalid.js",
    "shortcuts.js",
    "command_palette.js",
    "stale_response.js",
    "one_time_link.js",
    "password_reveal.js",
    "form_rows.js",
    "bulk_select.js",
    "restored_page.js",
    "toasts.js",
    "unsaved_changes.js",
    "detect_time_zone.js",
)

ERROR_TEMPLATES = {403: "errors/403.html", 404: "errors/404.html", 500: "errors/500.html"}

NOT_FOUND_MESSAGE = "There is no such page, or not for you."
SERVER_ERROR_MESSAGE = "That did not work, and it is not your doing."

TOAST_HEADERS = {
    "HX-Retarget": "#toasts",
    "HX-Reswap": "beforeend",
    "HX-Reselect": "[data-toast]",
    "HX-Push-Url": "false",
}
"""Headers that make htmx show a response as a toast, whatever target the form has."""

CACHE_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie, HX-Request, HX-Request-Type",
}
"""Headers of pages and parts. Those that show a secret are not stored at all."""

GLOBAL_FUNCTIONS: dict[str, Any] = {
    "asset_url": asset_url,
    "heartbeat_meter": time_format.build_heartbeat_meter,
    "emoji_icon": avatars.emoji_icon,
    "agent_hue": avatars.agent_hue,
    "icon": render_icon,
    "initials": avatars.initials,
    "low_confidence": LOW_CONFIDENCE,
    "scripts": SCRIPTS,
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
    "markdown": render_markdown,
    "time_left": time_format.format_time_left,
    "overdue": time_format.is_overdue,
    "reveal": reveal,
    "reveal_lines": reveal_lines,
    "reveal_text": reveal_text,
    "round_to_five": avatars.round_to_five,
    "score": format_score,
}
"""Filters of the templates, such as {{ moment | age }}."""

environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,  # else each template's file is checked whenever it is included
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.globals.update(GLOBAL_FUNCTIONS)
environment.filters.update(GLOBAL_FILTERS)
_templates = Jinja2Templates(env=environment)


def render_part(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Render a part of a page, with times in the user's time zone.

    Browsers ask again before they show it from a cache. A page and its part share an address, and
    the back button has to show the page, so the cache distinguishes them.
    """
    user = request.scope.get("user")
    token = time_format.reader_zone.set(time_format.get_time_zone(getattr(user, "timezone", None)))
    try:
        return _templates.TemplateResponse(request, template, context, status, CACHE_HEADERS)
    finally:
        time_format.reader_zone.reset(token)


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

    With a layout the page subscribes to events after `layout.last_seq`. While a page of a board is
    subscribed, its user counts as a viewer of the board.
    """
    return render_part(request, template, status, **{**layout_context(request, layout), **context})


def layout_context(request: Request, layout: PageLayout | None) -> Mapping[str, Any]:
    """Return the context of the layout templates."""
    live_url = None
    if layout is not None:
        board_id = request.path_params.get("board_id")
        live_url = f"/events?after={layout.last_seq}" + (f"&board={board_id}" if board_id else "")
    return {
        "viewer": layout,
        "agent_stop": layout.agent_stop if layout else None,
        "waiting_count": layout.waiting_count if layout else 0,
        "sidebar": layout.sidebar if layout else None,
        "current_path": current_path(request),
        "live_url": live_url,
        "toasts": (),
    }


def current_path(request: Request) -> str:
    """Return the path of the page that the user sees, also for a request of a part."""
    try:
        return urlsplit(request.headers.get("HX-Current-URL", "")).path or request.url.path
    except ValueError:  # not an address, so no page of ours sent it
        return request.url.path


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
    if isinstance(error, RecentSignInRequired):
        return redirect_to_sign_in_again(request)
    response = _render_error(
        request, status, error.message, await _load_layout_if_member(request, status)
    )
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


async def handle_unknown_address(request: Request, error: Exception) -> Response:
    """Render an error of the router: an unknown path or a method that is not allowed."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    if "auth" not in request.scope:  # the route was not found before authentication
        request.scope["auth"] = await current_viewer(request)
    message = NOT_FOUND_MESSAGE if status == 404 else str(error.detail)
    response = _render_error(
        request, status, message, await _load_layout_if_member(request, status)
    )
    response.headers.update(error.headers or {})
    return response


async def handle_server_error(request: Request, error: Exception) -> Response:
    """Render an unexpected error, or an AppError outside the routes (database not available)."""
    if isinstance(error, AppError):
        return _render_error(request, STATUS_CODES[type(error)], error.message, None)
    return _render_error(request, 500, SERVER_ERROR_MESSAGE, None)


def _render_error(
    request: Request, status: int, message: str, layout: PageLayout | None
) -> Response:
    if request.headers.get("HX-Request") == "true":
        response = render_part(request, "_error_toast.html", status, message=message)
        response.headers.update(TOAST_HEADERS)
        return response
    template = ERROR_TEMPLATES.get(status, "errors/error.html")
    return render_page(
        request, template, layout=layout, status=status, message=message, code=status
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
