"""Edits of a gateway on its form."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_reader, open_transaction
from models import Gateway
from services import gateways
from web.auth.viewer import current_member
from web.gateways.views import NewGatewayForm, check_connection_if_allowed, gateway_connector
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, FieldKind, check_edit, without
from web.ui.forms import Switch
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import N_, _, pgettext

TOKEN_RECIPIENT = frozenset({"url", "allow_insecure_tls", "ca_certificates"})
"""The fields that decide which host receives the token."""


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a gateway. It does not contain the token."""
    return await _render_edit_form(request, forms.Form())


async def update_gateway(request: Request) -> Response:
    """Update a gateway, and check the connection if its address or access has changed.

    An entered token is meant for the host that the form shows: it is not sent to another one.
    """
    form = await forms.read_form(request)
    member, gateway_id = current_member(request), forms.path_id(request, "gateway_id")
    with form.catch_errors():
        fields = form.parse(GatewayEditForm)
        async with open_transaction(request) as session:
            gateway = await gateways.lock_gateway(session, member, gateway_id)
            relied_on = TOKEN_RECIPIENT if fields.token else frozenset()
            untouched = check_edit(form, list_edited_fields(gateway), relied_on)
            changes = without(fields.to_changes(), untouched)
            connector = gateway_connector(request)
            await gateways.update_gateway(session, member, connector, gateway_id, changes)
        if gateway.checks is None:
            await check_connection_if_allowed(request, gateway)
        return RedirectResponse(f"/gateways/{gateway.id}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        gateway = await gateways.get_gateway(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
    states = {"true": pgettext("state", "On"), "": pgettext("state", "Off")}
    about = ConflictContext(
        title=gateway.name,
        back=f"/gateways/{gateway.id}/edit",
        organization_id=gateway.organization_id,
        object_id=gateway.id,
        names={"allow_insecure_tls": states},
        secrets={"token": _("Token")},
    )
    return await render_conflict(request, form, about)


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        gateway = await gateways.get_gateway(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
        token_set_at = await gateways.find_token_set_at(source, gateway)
    return render_page(
        request,
        "gateways/edit.html",
        layout=layout,
        status=form.status,
        form=form,
        gateway=gateway,
        shown={field.name: field.value for field in list_edited_fields(gateway)},
        token_set_at=token_set_at,
    )


class GatewayEditForm(NewGatewayForm):
    """Changes of a gateway. A blank token keeps the stored one."""

    without_token: Switch = False

    def to_changes(self) -> dict[str, object]:
        """Return the changed columns."""
        changes = self.model_dump(exclude={"token", "without_token"})
        if self.without_token:
            return changes | {"token": None}
        return changes | {"token": self.token} if self.token else changes


def list_edited_fields(gateway: Gateway) -> list[EditedField]:
    """Return the current values of a gateway as its form shows them. The token is not shown."""
    return [
        EditedField("name", N_("Name"), gateway.name, FieldKind.LINE),
        EditedField(
            "workspace_root", N_("Workspace folder"), gateway.workspace_root, FieldKind.LINE
        ),
        EditedField("url", N_("Address"), gateway.url, FieldKind.LINE),
        EditedField(
            "ca_certificates", N_("CA certificate"), gateway.ca_certificates, FieldKind.TEXT
        ),
        EditedField("allow_insecure_tls", N_("Accept any certificate"), gateway.allow_insecure_tls),
        EditedField(
            "disable_device_pairing", N_("Turn off device pairing"), gateway.disable_device_pairing
        ),
    ]
