"""The list of webhooks, and the forms that create and change them. Only admins see these pages."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import open_reader, open_transaction
from core.paging import Paging
from models import Member, WebhookEndpoint
from services import organizations, pickers, webhook_endpoints
from services.pickers import PickerKind, PickerOption, PickerPlace
from services.webhook_endpoints import WebhookEndpointCreate, WebhookEndpointUpdate
from web.auth.viewer import current_member
from web.pickers import load_chosen, load_value_names
from web.ui import flash_cookies, forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part
from web.webhook_endpoints import presenter


async def show_webhooks(request: Request) -> Response:
    """Show the webhooks of the organization; for htmx only the list."""
    member = current_member(request)
    organizations.require_admin(member)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        found = await webhook_endpoints.list_endpoints(source, member, Paging())
        tab_counts = await organizations.count_sections(source, member)
    context: dict[str, Any] = {
        "rows": [(one, *presenter.describe_state(one.endpoint)) for one in found.items],
        "get_name": webhook_endpoints.get_endpoint_name,
        "tab_counts": tab_counts,
    }
    if layout is None:
        return render_part(request, "webhook_endpoints/_list.html", apart=True, **context)
    return render_page(request, "webhook_endpoints/index.html", layout=layout, **context)


async def show_new_form(request: Request) -> Response:
    """Show the form for a new webhook."""
    return await _render_new_form(request, forms.Form())


async def create_webhook(request: Request) -> Response:
    """Create a webhook, and redirect to its page, which shows the secret once."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(WebhookEndpointCreate)
        query = await _check_address(request, fields.url)
        async with open_transaction(request) as session:
            endpoint, secret = await webhook_endpoints.create_endpoint(
                session, member, request.state.secret_cipher, fields
            )
        path = f"/webhooks/{endpoint.id}{query}"
        return flash_cookies.redirect_with_secret(request, path, secret)
    return await _render_new_form(request, form)


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a webhook."""
    return await _render_edit_form(request, forms.Form())


async def update_webhook(request: Request) -> Response:
    """Change a webhook, and redirect to its page."""
    form = await forms.read_form(request)
    member, id = current_member(request), forms.path_id(request, "endpoint_id")
    with form.catch_errors():
        organizations.require_admin(member)
        fields = form.parse(WebhookEndpointUpdate)
        async with open_reader(request) as source:
            stored = (await webhook_endpoints.get_endpoint(source, member, id)).endpoint
        is_new = "url" in fields.model_fields_set and fields.url != stored.url
        query = await _check_address(request, fields.url) if is_new else ""
        async with open_transaction(request) as session:
            endpoint = await webhook_endpoints.lock_endpoint(session, member, id)
            readable = await _find_readable(session, member, endpoint)
            fields = fields.without(check_edit(form, _list_edited_fields(endpoint, readable)))
            if "board_ids" in fields.model_fields_set:  # those that the user cannot read stay
                kept = [UUID(id) for id in endpoint.board_ids if id not in readable]
                given = {name: getattr(fields, name) for name in fields.model_fields_set}
                board_ids = [*fields.board_ids, *kept]
                fields = WebhookEndpointUpdate.parse(given | {"board_ids": board_ids})
            if fields.model_fields_set:
                await webhook_endpoints.update_endpoint(session, member, endpoint, fields)
        return RedirectResponse(f"/webhooks/{id}{query}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def delete_webhook(request: Request) -> Response:
    """Delete a webhook, and redirect to the list."""
    member, id = current_member(request), forms.path_id(request, "endpoint_id")
    async with open_transaction(request) as session:
        endpoint = await webhook_endpoints.lock_endpoint(session, member, id)
        await webhook_endpoints.delete_endpoint(session, member, endpoint)
    name = webhook_endpoints.get_endpoint_name(endpoint)
    return redirect_deleted(request, "/webhooks", name)


async def _check_address(request: Request, url: str) -> str:
    """Check where an address leads; return the query of a page that has to warn about it."""
    is_known = await webhook_endpoints.check_address(
        partial(open_reader, request),
        request.state.outbound_client,
        current_member(request),
        url,
    )
    return "" if is_known else "?unknown_host=1"


async def _find_readable(
    source: Source, member: Member, endpoint: WebhookEndpoint
) -> Mapping[str, PickerOption]:
    """Return those boards of a webhook that the member may read, by id."""
    place = PickerPlace(member)
    return await pickers.find_options(source, place, PickerKind.BOARDS, endpoint.board_ids)


def _list_edited_fields(
    endpoint: WebhookEndpoint, readable_board_ids: Collection[str]
) -> list[EditedField]:
    """Return the values of a webhook as its form shows them; of its boards the readable."""
    board_ids = [id for id in endpoint.board_ids if id in readable_board_ids]
    return list_edited_fields(WebhookEndpointUpdate, endpoint, {"board_ids": board_ids})


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the properties that the user and somebody else have changed."""
    member, id = current_member(request), forms.path_id(request, "endpoint_id")
    async with open_reader(request) as source:
        endpoint = (await webhook_endpoints.get_endpoint(source, member, id)).endpoint
        ids = [*form.selected("board_ids"), *endpoint.board_ids]
        names = await load_value_names(source, member, PickerKind.BOARDS, ids)
    about = ConflictContext(
        title=webhook_endpoints.get_endpoint_name(endpoint),
        back=request.url.path,
        organization_id=endpoint.organization_id,
        object_id=endpoint.id,
        names={"board_ids": names},
    )
    return await render_conflict(request, form, about)


async def _render_new_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    return await _render_form(request, "webhook_endpoints/new.html", form, None)


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    member, id = current_member(request), forms.path_id(request, "endpoint_id")
    async with open_reader(request) as source:
        summary = await webhook_endpoints.get_endpoint(source, member, id)
    return await _render_form(request, "webhook_endpoints/edit.html", form, summary.endpoint)


async def _render_form(
    request: Request, template: str, form: forms.Form, endpoint: WebhookEndpoint | None
) -> Response:
    layout, member = await load_layout(request), current_member(request)
    async with open_reader(request) as source:
        readable = await _find_readable(source, member, endpoint) if endpoint else {}
        chosen = await load_chosen(
            source, member, PickerKind.BOARDS, "board_ids", form, list(readable)
        )
    edited = _list_edited_fields(endpoint, readable) if endpoint else []
    return render_page(
        request,
        template,
        layout=layout,
        status=form.status,
        form=form,
        endpoint=endpoint,
        name=webhook_endpoints.get_endpoint_name(endpoint) if endpoint else "",
        chosen_boards=chosen,
        type_groups=presenter.list_type_groups(),
        fields=build_form_fields(form, WebhookEndpointCreate, edited),
        shown={one.name: one.value for one in edited},
    )
