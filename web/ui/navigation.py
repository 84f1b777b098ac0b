"""Routes of the layout: the sidebar, switching organization and language, and the home address."""

from typing import Literal
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_transaction
from services import identity, organizations
from web.auth.sign_in import safe_next_path
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import layout_context, render_part


class OrganizationSwitchForm(BaseModel):
    """The organization to open, and the page to show then."""

    organization_id: UUID
    next: str = "/"


class LanguageForm(BaseModel):
    """The language of the pages."""

    language: Literal["en", "de", "zh-Hans"]


async def show_sidebar(request: Request) -> Response:
    """Show the current sidebar, and the tab bar of phones."""
    layout = await load_layout(request)
    return render_part(request, "_sidebar_update.html", **layout_context(request, layout))


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
