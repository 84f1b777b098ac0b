"""Several skills or packs at once: delete those that are selected, and fetch all packs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_reader, open_transaction
from services import skills
from web.auth.viewer import current_member
from web.skills import presenter
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import _, ngettext

MAX_SELECTED = 200  # skills or packs in a form; a page has as many


class SelectionForm(BaseModel):
    """The selected skills or packs; `confirmed` after their names were shown."""

    ids: list[UUID] = Field(default=[], max_length=MAX_SELECTED)
    confirmed: forms.Switch = False


async def delete_skills(request: Request) -> Response:
    """Delete the selected skills after a confirmation that names them."""
    fields = (await forms.read_form(request)).parse(SelectionForm)
    member = current_member(request)
    if fields.confirmed:
        async with open_transaction(request) as session:
            count = await skills.delete_skills(session, member, fields.ids)
        return _redirect_to_list("/skills", fields, count)
    async with open_reader(request) as source:
        found = await skills.list_selected_skills(source, member, fields.ids)
    names = [(card.skill.id, card.skill.name) for card in found]
    if not names:
        return _redirect_to_list("/skills", fields)
    return await _render_confirmation(
        request,
        names,
        path="/skills",
        title=ngettext("Delete %(num)d skill?", "Delete %(num)d skills?", len(names)),
        note=_("Gateways that have the skill keep it. Remove it there first."),
    )


async def delete_packs(request: Request) -> Response:
    """Delete the selected packs after a confirmation that names them."""
    fields = (await forms.read_form(request)).parse(SelectionForm)
    member = current_member(request)
    if fields.confirmed:
        async with open_transaction(request) as session:
            count = await skills.delete_packs(session, member, fields.ids)
        return _redirect_to_list("/skills/packs", fields, count)
    async with open_reader(request) as source:
        packs = [one.pack for one in await skills.list_packs(source, member)]
    names = [(pack.id, pack.name) for pack in packs if pack.id in fields.ids]
    if not names:
        return _redirect_to_list("/skills/packs", fields)
    return await _render_confirmation(
        request,
        names,
        path="/skills/packs",
        title=ngettext("Delete %(num)d pack?", "Delete %(num)d packs?", len(names)),
        note=_("Its skills stay."),
    )


def _redirect_to_list(path: str, fields: SelectionForm, count: int = 0) -> Response:
    """Redirect to the list, which says how many were deleted, or why none."""
    deleted = count or (presenter.ALREADY_DELETED if fields.ids else 0)
    return RedirectResponse(f"{path}?deleted={deleted}", 303)


async def _render_confirmation(
    request: Request, names: Sequence[tuple[UUID, str]], **texts: Any
) -> Response:
    """Name what will be deleted."""
    layout = await load_layout(request)
    return render_page(request, "skills/deletion.html", layout=layout, names=names, **texts)


async def fetch_packs(request: Request) -> Response:
    """Show all packs that can be fetched; the page fetches them one after the other.

    Each is fetched by a request of its own, because a download can need a minute.
    """
    layout = await load_layout(request)
    async with open_reader(request) as source:
        packs = await skills.list_packs(source, current_member(request))
    context: dict[str, Any] = {
        "packs": [one.pack for one in packs if not skills.is_upload(one.pack.source_url)],
        "describe_source": presenter.describe_source,
    }
    return render_page(request, "skills/fetches.html", layout=layout, **context)
