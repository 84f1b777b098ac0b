"""Skills: the directory, a skill, its installation on gateways, and changes of several at once."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.fields import MAX_NAME_LENGTH
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from core.text import is_storable
from models import Gateway, Member
from services import gateways, organizations, skills
from services.pickers import PickerKind
from services.skills import SkillCard, SkillCreate, SkillFilter
from web.auth.viewer import current_member
from web.pickers import load_chosen
from web.skills import presenter
from web.ui import forms
from web.ui.flash_cookies import redirect_deleted
from web.ui.formatted_texts import run_in_page_thread
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_in_thread, render_page, render_part
from web.ui.translation import _, ngettext


async def show_skills(request: Request) -> Response:
    """Show the skills that match the filters; for htmx only the list."""
    return await _render_skills(request, forms.Form())


async def create_skill(request: Request) -> Response:
    """Add a skill by its address, and redirect to its page."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(SkillCreate)
        async with open_transaction(request) as session:
            skill = await skills.save_skill(session, member, fields)
        return RedirectResponse(f"/skills/{skill.id}", 303)
    return await _render_skills(request, form)


async def show_skill(request: Request) -> Response:
    """Show a skill with its files, and its state on each gateway; for htmx only the states."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        member = current_member(request)
        card = await skills.get_skill(source, member, forms.path_id(request, "skill_id"))
        context = await _load_states(source, member, card)
        if layout is None:
            return render_part(request, "skills/_gateways.html", **context)
        version = await skills.find_version(source, card.skill, card.skill.digest)
    return await render_in_thread(
        render_page,
        request,
        "skills/show.html",
        layout=layout,
        files=presenter.list_files(version),
        browse_url=presenter.find_browse_url(
            version.source_url if version else card.skill.source_url
        ),
        risk_tone=presenter.get_risk_tone(card.skill.risk),
        **context,
    )


async def delete_skill(request: Request) -> Response:
    """Delete a skill, and redirect to the list."""
    member, id = current_member(request), forms.path_id(request, "skill_id")
    async with open_transaction(request) as session:
        card = await skills.get_skill(session, member, id)
        await skills.delete_skill(session, member, id)
    return redirect_deleted(request, "/skills", card.skill.name)


async def show_installation(request: Request) -> Response:
    """Show what an installation changes on a gateway."""
    return await _render_installation(request, forms.Form())


async def install_skill(request: Request) -> Response:
    """Request an installation, and redirect to the page of the skill."""
    form = await forms.read_form(request)
    member, id = current_member(request), forms.path_id(request, "skill_id")
    with form.catch_errors():
        async with open_transaction(request) as session:
            gateway = await _get_gateway(request, session)
            await skills.request_install(
                session,
                member,
                gateway,
                id,
                base_url=get_settings(request).base_url,
                shown_digest=form.value("shown"),
            )
        return RedirectResponse(f"/skills/{id}#gateways", 303)
    return await _render_installation(request, form)


async def remove_skill(request: Request) -> Response:
    """Request a removal, and redirect to the page of the skill."""
    member, id = current_member(request), forms.path_id(request, "skill_id")
    async with open_transaction(request) as session:
        gateway = await _get_gateway(request, session)
        base_url = get_settings(request).base_url
        await skills.request_removal(session, member, gateway, id, base_url=base_url)
    return RedirectResponse(f"/skills/{id}#gateways", 303)


async def _get_gateway(request: Request, source: Source) -> Gateway:
    id = forms.path_id(request, "gateway_id")
    return await gateways.get_gateway(source, current_member(request), id)


async def _render_skills(request: Request, form: forms.Form) -> Response:
    member = current_member(request)
    organizations.require_admin(member)
    layout = None if is_part_request(request) else await load_layout(request)
    chosen, per = _read_filter(request), forms.parse_number(request.query_params.get("per"))
    size = per if per in presenter.PAGE_SIZES else presenter.PAGE_SIZES[0]
    async with open_reader(request) as source:
        paging = Paging(size, forms.parse_offset(request.query_params))
        page = await skills.list_skills(source, member, chosen, paging)
        ids = [card.skill.id for card in page.items]
        installations = await skills.list_installations(source, ids)
        choices = await skills.list_filter_choices(source, member)
        chosen_pack = await load_chosen(
            source, member, PickerKind.SKILL_PACKS, "pack", forms.Form(), [chosen.pack_id]
        )
    context = presenter.build_list_context(page, installations, chosen, choices)
    context |= {
        "chosen_pack": chosen_pack,
        "form": form,
        "fields": build_form_fields(form, SkillCreate),
    }
    if layout is None:
        return render_part(request, "skills/_list.html", **context)
    context["deleted"] = presenter.describe_deleted_skills(request.query_params.get("deleted", ""))
    return render_page(request, "skills/index.html", layout=layout, status=form.status, **context)


def _read_filter(request: Request) -> SkillFilter:
    given = {
        name: text[:MAX_NAME_LENGTH] if is_storable(text) else ""
        for name in ("q", "category", "risk")
        for text in [request.query_params.get(name, "").strip()]
    }
    pack_id = forms.parse_id(request.query_params.get("pack"))
    return SkillFilter(given["q"], given["category"], given["risk"], pack_id)


async def _load_states(source: Source, member: Member, card: SkillCard) -> dict[str, Any]:
    found = await skills.list_installations(source, [card.skill.id])
    page = await gateways.list_gateways(source, member, Paging())
    rows = presenter.list_gateway_rows(card.skill, page.items, found)
    return {"card": card, "skill": card.skill, "rows": rows, "installations": found}


async def _render_installation(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    member = current_member(request)
    async with open_reader(request) as source:
        gateway = await _get_gateway(request, source)
        card = await skills.get_skill(source, member, forms.path_id(request, "skill_id"))
        context = await _load_states(source, member, card)
        [row] = presenter.list_gateway_rows(card.skill, [gateway], context["installations"])
        digest = row.installation.known_digest if row.installation else None
        old = await skills.find_version(source, card.skill, digest)
        new = await skills.find_version(source, card.skill, card.skill.digest)
    return await render_in_thread(
        render_page,
        request,
        "skills/install.html",
        layout=layout,
        status=form.status,
        form=form,
        row=row,
        old=old,
        new=new,
        changes=await run_in_page_thread(partial(presenter.list_file_changes, old, new)),
        has_hidden_files=bool(new and skills.list_hidden_files(new.files)),
        risk_tone=presenter.get_risk_tone(card.skill.risk),
        **context,
    )


class SelectionForm(BaseModel):
    """The selected skills or packs; `confirmed` after their names were shown."""

    ids: list[UUID] = Field(default=[], max_length=200)  # a page has as many
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
