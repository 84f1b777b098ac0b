"""Routes of the layout: the sidebar, switching organization and language, and the home address."""

from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.fields import BlankToNone
from core.http.request import open_transaction
from services import identity, organizations, sidebar
from services.sidebar import SidebarSection
from web.auth.sign_in import safe_next_path
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, layout_context, render_part

MAX_BOARDS = 50  # in one form: a page of the list of boards


class OrganizationSwitchForm(BaseModel):
    """The organization to open, and the page to show then."""

    organization_id: UUID
    next: str = "/"


class LanguageForm(BaseModel):
    """The language of the pages."""

    language: Literal["en", "de", "zh-Hans"]


class CollapseForm(BaseModel):
    """A section of the sidebar to collapse, or to expand."""

    collapse: SidebarSection | None = None
    expand: SidebarSection | None = None


class PinForm(BaseModel):
    """Boards to pin or to unpin."""

    board_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_BOARDS)]


class PinMoveForm(BaseModel):
    """A pinned board to move up or down by one place, or before another one, or to the end."""

    up: UUID | None = None
    down: UUID | None = None
    board_id: UUID | None = None
    before: Annotated[UUID | None, BlankToNone] = None


async def show_sidebar(request: Request) -> Response:
    """Show the current sidebar, and the tab bar of phones."""
    layout = await load_layout(request)
    return render_part(request, "_sidebar_update.html", **layout_context(request, layout))


async def collapse_section(request: Request) -> Response:
    """Collapse or expand a section of the sidebar."""
    fields = (await forms.read_form(request)).parse(CollapseForm)
    section = fields.collapse or fields.expand
    if section is not None:
        async with open_transaction(request) as session:
            is_collapsed = fields.collapse is not None
            await sidebar.collapse_section(
                session, request.user, section, is_collapsed=is_collapsed
            )
    return await _show_changed_sidebar(request, "rail-boards")


async def pin_boards(request: Request) -> Response:
    """Pin boards to the sidebar. Raises NotFound, and Invalid if there are too many."""
    fields = (await forms.read_form(request)).parse(PinForm)
    async with open_transaction(request) as session:
        await sidebar.pin_boards(session, current_member(request), fields.board_ids)
    return await _show_changed_sidebar(request, f"rail-row-{fields.board_ids[0]}")


async def unpin_boards(request: Request) -> Response:
    """Unpin boards from the sidebar."""
    fields = (await forms.read_form(request)).parse(PinForm)
    async with open_transaction(request) as session:
        await sidebar.unpin_boards(session, current_member(request), fields.board_ids)
    return await _show_changed_sidebar(request, f"rail-row-{fields.board_ids[0]}")


async def move_pin(request: Request) -> Response:
    """Move a pinned board. Raises NotFound if it is not pinned."""
    fields = (await forms.read_form(request)).parse(PinMoveForm)
    board_id, to = fields.board_id, fields.before or "end"
    if fields.up or fields.down:
        board_id, to = fields.up or fields.down, "up" if fields.up else "down"
    if board_id is not None:
        async with open_transaction(request) as session:
            await sidebar.move_pin(session, current_member(request), board_id, to)
    return await _show_changed_sidebar(request, f"rail-row-{board_id}")


async def switch_organization(request: Request) -> Response:
    """Open another organization, and redirect to its start page, or to the requested one."""
    fields = (await forms.read_form(request)).parse(OrganizationSwitchForm)
    async with open_transaction(request) as session:
        await organizations.switch_organization(session, request.user, fields.organization_id)
    return RedirectResponse(safe_next_path(fields.next), 303)


async def choose_language(request: Request) -> Response:
    """Store the language of the user, and redirect to the page on which it was chosen."""
    fields = (await forms.read_form(request)).parse(LanguageForm)
    language = identity.ProfileUpdate.of(language=fields.language)
    async with open_transaction(request) as session:
        await identity.update_profile(session, request.user, language)
    return RedirectResponse(_read_previous_page(request), 303)


async def _show_changed_sidebar(request: Request, fragment: str) -> Response:
    """Show the sidebar to htmx; else the previous page, at the changed place of the sidebar."""
    if is_part_request(request):
        layout = await load_layout(request)
        context = layout_context(request, layout)
        response = render_part(request, "_sidebar_update.html", **context)
        response.headers["HX-Trigger"] = "boards"  # the list of boards shows which are pinned
        return response
    return RedirectResponse(f"{_read_previous_page(request)}#{fragment}", 303)


def _read_previous_page(request: Request) -> str:
    """Return the path and the query of the page that has sent a form, or the home address.

    A language in the query would come before the stored one, so the query is left out then.
    """
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return "/"
    path = f"/{page.path.lstrip('/')}"  # never the address of another host
    return path if not page.query or "lang" in parse_qs(page.query) else f"{path}?{page.query}"


async def redirect_home(request: Request) -> Response:
    """Redirect to what waits for a decision of the member, or to the dashboard if nothing does."""
    layout = await load_layout(request)
    held = len(layout.held_agent_ids)
    if layout.waiting.total > held:
        return RedirectResponse("/approvals", 303)
    return RedirectResponse("/agents?state=held" if held else "/dashboard", 303)
