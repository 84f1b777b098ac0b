"""What the heartbeat interval of a group changes on gateways, before it is set."""

import asyncio
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from services import boards
from services.gateways import sync
from services.gateways.sync import PlannedGateway
from web.auth.viewer import current_member
from web.gateways.session_views import query_gateway
from web.groups.forms import GroupHeartbeatForm
from web.groups.presenter import GatewayPreview, HeartbeatPreview, preview_context
from web.groups.views import render_group
from web.ui import forms, submit_once
from web.ui.render import is_part_request, render_part
from web.ui.translation import _

MAX_GATEWAYS = 10  # that are asked and shown
READ_TIMEOUT = 10.0  # seconds for each gateway


async def preview_heartbeat_interval(request: Request) -> Response:
    """Show what the form of the interval will change on gateways; nothing is saved."""
    submit_once.allow_repetition(request)
    form = await forms.read_form(request)
    group_id = forms.path_id(request, "group_id")
    planned, preview = None, None
    async with open_reader(request) as source:
        group = await boards.get_group_as_admin(source, request.user, group_id)
        with form.catch_errors():
            fields = form.parse(GroupHeartbeatForm)
            planned = await sync.plan_group_interval(
                source,
                current_member(request),
                group,
                fields.to_interval(),
                include_board_leads=fields.include_board_leads,
            )
    if planned is not None:
        preview = await _read_preview(request, planned)
    if is_part_request(request):
        return render_part(
            request,
            "groups/_config_changes.html",
            form=form,
            group=group,
            **preview_context(preview),
        )
    return await render_group(request, form, preview)


async def _read_preview(request: Request, planned: Sequence[PlannedGateway]) -> HeartbeatPreview:
    shown = planned[:MAX_GATEWAYS]
    previews = await asyncio.gather(*[_preview_gateway(request, one) for one in shown])
    changed = [one for one in previews if not one.config.is_empty]
    return HeartbeatPreview(changed, len(planned) - len(shown))


async def _preview_gateway(request: Request, planned: PlannedGateway) -> GatewayPreview:
    """Compare with the configuration that a gateway has, or with what is stored here."""
    read = partial(sync.read_config, planned.summary.gateway)
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            config, problem = await query_gateway(request, planned.summary, read)
    except TimeoutError:
        config, problem = None, _("It has not answered in time.")
    # In a thread, because thousands of agents take longer than other requests may wait.
    change = await asyncio.to_thread(sync.preview_group_interval, planned, config)
    return GatewayPreview(change, problem)
