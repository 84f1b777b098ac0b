"""The page of a gateway with what Mission Control has written to its configuration."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from models import ConfigChangeKind, GatewayConfigChange
from services import gateways
from services.gateways import provisioning, sync
from services.gateways.sync import ConfigLogPage, LoggedConfigChange
from web.audit.presenter import AuditLine, build_audit_line
from web.auth.viewer import current_member
from web.gateways.views import TEMPLATE_FUNCTIONS
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, translate
from web.ui.unified_diff import parse_diff

KIND_TEXTS = {
    ConfigChangeKind.ADDED: N_("Entry added"),
    ConfigChangeKind.CHANGED: N_("Entry changed"),
    ConfigChangeKind.REMOVED: N_("Entry removed"),
}


@dataclass(frozen=True)
class ConfigChangeLine:
    """A change on the page. `cause` is the last audited change that can have led to it."""

    change: GatewayConfigChange
    kind: str
    cause: AuditLine | None
    is_readable: bool
    has_agent: bool


async def show_config_changes(request: Request) -> Response:
    """Show what was written to the configuration of a gateway; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    member = current_member(request)
    before = forms.parse_id(request.query_params.get("before"))
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(
            source, member, forms.path_id(request, "gateway_id")
        )
        page = await sync.load_config_log(source, member, summary.gateway, before)
    context: dict[str, Any] = {"summary": summary, "before": before, **_build_context(page)}
    if layout is None:
        return render_part(request, "gateways/_config_log.html", **context)
    return render_page(
        request, "gateways/config_log.html", layout=layout, **context, **TEMPLATE_FUNCTIONS
    )


def _build_context(page: ConfigLogPage) -> dict[str, Any]:
    return {
        "lines": [_build_line(one) for one in page.changes],
        "earlier": page.earlier,
        "max_changes": provisioning.MAX_CHANGES_BY_ACTOR,
        "parse_diff": parse_diff,
        "config_file": sync.CONFIG_FILE,
    }


def _build_line(entry: LoggedConfigChange) -> ConfigChangeLine:
    kind = translate(KIND_TEXTS[entry.change.kind])
    cause = build_audit_line(entry.cause) if entry.cause else None
    return ConfigChangeLine(entry.change, kind, cause, entry.is_readable, entry.has_agent)
