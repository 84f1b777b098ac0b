"""The packs of skills: add one by its address or as an upload, and accept its updates."""

from functools import partial
from typing import Any
from uuid import UUID

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid, NotFound
from core.http.request import MAX_BODY_SIZE, open_reader, open_transaction
from core.http.request_slots import release_slots
from models import SkillPack
from services import organizations, skills
from services.skills import SkillPackCreate, SkillPackUpload
from web.auth.viewer import current_member
from web.skills import presenter
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.forms import Form
from web.ui.layout import load_layout
from web.ui.locale_format import describe_error
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_

UPLOAD_ENCODING = "multipart/form-data"


def list_pack_fields(pack: SkillPack) -> list[EditedField]:
    """Return the values of a pack as its form shows them; an upload has no address to change."""
    fields = list_edited_fields(SkillPackCreate, pack)
    hidden = {"source_url", "branch"} if skills.is_upload(pack.source_url) else set()
    return [field for field in fields if field.name not in hidden]


async def show_packs(request: Request) -> Response:
    """Show the packs; for htmx only the list."""
    member = current_member(request)
    organizations.require_admin(member)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        packs = await skills.list_packs(source, member)
    context: dict[str, Any] = {"packs": packs, "describe_source": presenter.describe_source}
    if layout is None:
        return render_part(request, "skills/_packs.html", **context)
    context["deleted"] = presenter.describe_deleted_packs(request.query_params.get("deleted", ""))
    return render_page(request, "skills/packs.html", layout=layout, **context)


async def show_new_pack_form(request: Request) -> Response:
    """Show the forms for a new pack."""
    return await _render_new_forms(request, forms.Form(), forms.Form())


async def create_pack(request: Request) -> Response:
    """Add a pack, and redirect to its page, where it can be fetched."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(SkillPackCreate)
        async with open_transaction(request) as session:
            pack = await skills.save_pack(session, member, fields)
        return RedirectResponse(f"/skills/packs/{pack.id}", 303)
    return await _render_new_forms(request, form, forms.Form())


async def upload_pack(request: Request) -> Response:
    """Keep an uploaded archive, and redirect to the page that shows what it changes."""
    form, data = await read_upload(request, "archive")
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(SkillPackUpload)
        if not data:
            raise Invalid("file_required", N_("Choose a file."), field="archive")
        transaction = partial(open_transaction, request)
        pack = await skills.upload_pack(transaction, member, fields, data)
        return RedirectResponse(f"/skills/packs/{pack.id}", 303)
    return await _render_new_forms(request, forms.Form(), form)


async def show_pack(request: Request) -> Response:
    """Show a pack, and the update that waits to be accepted."""
    return await _render_pack(request, forms.Form())


async def update_pack(request: Request) -> Response:
    """Change the fields of a pack, and redirect to its page."""
    form = await forms.read_form(request)
    member, id = current_member(request), forms.path_id(request, "pack_id")
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(SkillPackCreate)
        async with open_transaction(request) as session:
            await organizations.lock_organization(session, member)
            pack = (await skills.get_pack(session, member, id)).pack
            untouched = check_edit(form, list_pack_fields(pack))
            kept = {name: getattr(pack, name) for name in untouched} | {"metadata": pack.extra}
            await skills.update_pack(session, member, id, fields.model_copy(update=kept))
        return RedirectResponse(f"/skills/packs/{id}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_pack(request, form)


async def fetch_pack(request: Request) -> Response:
    """Fetch the archive of a pack, and redirect to the page that shows what it changes."""
    form = await forms.read_form(request)
    member, id = current_member(request), forms.path_id(request, "pack_id")
    with form.catch_errors(has_limit=is_part_request(request)):
        organizations.require_admin(member)
        release_slots(request)
        client, transaction = request.state.archive_client, partial(open_transaction, request)
        try:
            has_changes = await skills.fetch_update(transaction, client, member, id)
        except NotFound as error:  # deleted while it waited in the list of all packs
            if not is_part_request(request):
                raise
            return _render_fetch_result(request, id, failed=True, problem=describe_error(error))
        if is_part_request(request):
            return _render_fetch_result(request, id, has_changes=has_changes)
        more = "#update" if has_changes else "?unchanged=1"
        return RedirectResponse(f"/skills/packs/{id}{more}", 303)
    if is_part_request(request):
        return _render_fetch_result(request, id, failed=True, problem=form.problem)
    return await _render_pack(request, form)


def _render_fetch_result(request: Request, pack_id: UUID, **result: bool | str) -> Response:
    context: dict[str, Any] = {"pack_id": pack_id, "failed": False, **result}
    return render_part(request, "skills/_fetch_result.html", **context)


async def accept_update(request: Request) -> Response:
    """Apply the update that was shown, and redirect to the page of the pack."""
    form = await forms.read_form(request)
    member, id = current_member(request), forms.path_id(request, "pack_id")
    with form.catch_errors():
        organizations.require_admin(member)
        transaction = partial(open_transaction, request)
        await skills.accept_update(transaction, member, id, form.value("shown"))
        return RedirectResponse(f"/skills/packs/{id}", 303)
    return await _render_pack(request, form)


async def discard_update(request: Request) -> Response:
    """Delete the update that waits to be accepted."""
    member, id = current_member(request), forms.path_id(request, "pack_id")
    async with open_transaction(request) as session:
        await skills.discard_update(session, member, id)
    return RedirectResponse(f"/skills/packs/{id}", 303)


async def delete_pack(request: Request) -> Response:
    """Delete a pack, and redirect to the list."""
    member, id = current_member(request), forms.path_id(request, "pack_id")
    async with open_transaction(request) as session:
        pack = (await skills.get_pack(session, member, id)).pack
        await skills.delete_pack(session, member, id)
    return redirect_deleted(request, "/skills/packs", pack.name)


async def _render_new_forms(
    request: Request, form: forms.Form, upload_form: forms.Form
) -> Response:
    organizations.require_admin(current_member(request))
    layout = await load_layout(request)
    return render_page(
        request,
        "skills/new_pack.html",
        layout=layout,
        status=max(form.status, upload_form.status),
        form=form,
        fields=build_form_fields(form, SkillPackCreate),
        upload_form=upload_form,
        upload_fields=build_form_fields(upload_form, SkillPackUpload),
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    member, id = current_member(request), forms.path_id(request, "pack_id")
    async with open_reader(request) as source:
        pack = (await skills.get_pack(source, member, id)).pack
    about = ConflictContext(
        title=pack.name,
        back=f"/skills/packs/{id}#edit",
        organization_id=pack.organization_id,
        object_id=pack.id,
    )
    return await render_conflict(request, form, about)


async def _render_pack(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        summary = await skills.get_pack(
            source, current_member(request), forms.path_id(request, "pack_id")
        )
    pack, changes = summary.pack, summary.update_changes or {}
    edited = list_pack_fields(pack)
    return render_page(
        request,
        "skills/pack.html",
        layout=layout,
        status=form.status,
        form=form,
        fields=build_form_fields(form, SkillPackCreate, edited),
        shown={one.name: one.value for one in edited},
        is_unchanged="unchanged" in request.query_params,
        summary=summary,
        pack=pack,
        source_name=presenter.describe_source(pack),
        browse_url=presenter.find_browse_url(pack.source_url),
        is_upload=skills.is_upload(pack.source_url),
        changes=changes,
        warnings=presenter.describe_warnings(pack.warnings),
        update_warnings=presenter.describe_warnings(changes.get("warnings", [])),
    )


async def read_upload(request: Request, name: str) -> tuple[Form, bytes]:
    """Return the submitted fields, and the content of the file; empty if none was chosen.

    Raises Invalid if it is not such a form.
    """
    encoding = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if encoding != UPLOAD_ENCODING:
        raise Invalid("not_a_form", N_("Send the form as %(encoding)s."), encoding=UPLOAD_ENCODING)
    try:
        async with request.form(max_files=1, max_fields=20, max_part_size=MAX_BODY_SIZE) as parsed:
            values: dict[str, list[str]] = {}
            content = b""
            for field, value in parsed.multi_items():
                if not isinstance(value, UploadFile):
                    values.setdefault(field, []).append(value)
                elif field == name:
                    content = await value.read()
    except (HTTPException, MultiPartException, FormParserError, KeyError, ValueError):
        raise Invalid("not_a_form", N_("This form cannot be read.")) from None
    return Form(values), content
