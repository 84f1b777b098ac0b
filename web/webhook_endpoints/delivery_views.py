"""The page of a webhook with the log of its deliveries, and what is sent by hand."""

from datetime import datetime, tzinfo
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.errors import Invalid
from core.http.request import Session, get_settings, open_reader, open_transaction
from core.paging import Paging
from core.text import N_
from models import WebhookDeliveryState, WebhookEndpoint
from services import organizations, webhook_endpoints
from services.notifications import OpenedPage
from services.webhook_endpoints import WebhookEndpointUpdate
from web.auth.viewer import current_member
from web.notifications.views import mark_page_read
from web.ui import flash_cookies, forms, time_format
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.webhook_endpoints import presenter


class ReplayForm(BaseModel):
    """The first and the last day of a period."""

    since: str = ""
    until: str = ""

    def to_period(self, zone: tzinfo) -> tuple[datetime, datetime]:
        """Return the start and the end, with days of the reader. Raises Invalid."""
        since = time_format.start_of_day(time_format.parse_day(self.since), zone)
        until = time_format.start_of_day(time_format.parse_day(self.until), zone, days_later=1)
        for field, moment in (("since", since), ("until", until)):
            if moment is None:
                raise Invalid("date_invalid", N_("Write a date like 2026-12-24."), field=field)
        assert since is not None
        assert until is not None
        return since, until


async def show_webhook(request: Request) -> Response:
    """Show a webhook and its log; for htmx only the log."""
    await mark_page_read(request, OpenedPage(named_id=forms.path_id(request, "endpoint_id")))
    return await _render_webhook(request, forms.Form())


async def switch_webhook(request: Request) -> Response:
    """Pause or enable a webhook."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            endpoint = await _lock(request, session)
            fields = WebhookEndpointUpdate.of(is_enabled=form.value("enabled") == "on")
            await webhook_endpoints.update_endpoint(session, member, endpoint, fields)
        return RedirectResponse(_path(request), 303)
    return await _render_webhook(request, form)


async def rotate_secret(request: Request) -> Response:
    """Replace the secret, and redirect to the page that shows it once."""
    async with open_transaction(request) as session:
        endpoint = await _lock(request, session)
        secret = await webhook_endpoints.rotate_secret(
            session, current_member(request), request.state.secret_cipher, endpoint
        )
    return flash_cookies.redirect_with_secret(request, _path(request), secret)


async def send_test(request: Request) -> Response:
    """Send a test, and redirect to the page of its delivery, which shows the result."""
    form = forms.Form()
    with form.catch_errors(has_limit=True):
        await _count_message(request)
        async with open_transaction(request) as session:
            endpoint = await _lock(request, session)
            delivery = await webhook_endpoints.create_test_delivery(session, endpoint)
        return RedirectResponse(f"{_path(request)}/deliveries/{delivery.id}", 303)
    return await _render_webhook(request, form)


async def replay_period(request: Request) -> Response:
    """Send what was not delivered in a period, and redirect to the log."""
    form = await forms.read_form(request)
    with form.catch_errors(has_limit=True):
        zone = time_format.get_time_zone(request.user.timezone)
        since, until = form.parse(ReplayForm).to_period(zone)
        await _count_message(request)
        async with open_transaction(request) as session:
            endpoint = await _lock(request, session)
            count = await webhook_endpoints.replay_period(
                session, endpoint, since, until, get_settings(request).base_url
            )
        return RedirectResponse(f"{_path(request)}?sent={count}#log", 303)
    return await _render_webhook(request, form)


async def show_delivery(request: Request) -> Response:
    """Show a delivery with its payload and response; for htmx only the changing part."""
    return await _render_delivery(request, forms.Form())


async def replay_delivery(request: Request) -> Response:
    """Send a delivery again, and redirect to its page."""
    form = await forms.read_form(request)
    with form.catch_errors(has_limit=True):
        await _count_message(request)
        async with open_transaction(request) as session:
            endpoint = await _lock(request, session)
            id = forms.path_id(request, "webhook_delivery_id")
            delivery = await webhook_endpoints.get_delivery(session, endpoint, id)
            await webhook_endpoints.replay_delivery(session, endpoint, delivery)
        return RedirectResponse(f"{_path(request)}/deliveries/{id}", 303)
    return await _render_delivery(request, form)


async def _render_webhook(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    query = request.query_params
    state, offset = query.get("state", ""), forms.parse_offset(request.query_params)
    state = state if state in set(WebhookDeliveryState) else ""
    async with open_reader(request) as source:
        member, id = current_member(request), forms.path_id(request, "endpoint_id")
        summary = await webhook_endpoints.get_endpoint(source, member, id)
        page = await webhook_endpoints.list_deliveries(
            source, summary.endpoint, Paging(50, offset), state
        )
    log: dict[str, Any] = {
        "path": _path(request),
        "state": state,
        "tabs": presenter.list_state_tabs(state),
        "page": page,
        "rows": [
            (one, presenter.describe_delivery_state(one), presenter.describe_outcome(one))
            for one in page.items
        ],
    }
    if layout is None:
        return render_part(request, "webhook_endpoints/_log.html", **log)
    response = render_page(
        request,
        "webhook_endpoints/show.html",
        layout=layout,
        status=form.status,
        form=form,
        endpoint=summary.endpoint,
        name=webhook_endpoints.get_endpoint_name(summary.endpoint),
        endpoint_state=presenter.describe_state(summary.endpoint),
        owner_name=summary.owner_name,
        problem=presenter.describe_problem(summary.endpoint.state),
        has_unknown_host="unknown_host" in query,
        secret=flash_cookies.read_secret(request),
        now=now(),
        sent=forms.parse_number(query["sent"]) if "sent" in query else None,
        **log,
    )
    return flash_cookies.forget_secret(request, response)


async def _render_delivery(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        member, id = current_member(request), forms.path_id(request, "endpoint_id")
        endpoint = (await webhook_endpoints.get_endpoint(source, member, id)).endpoint
        delivery_id = forms.path_id(request, "webhook_delivery_id")
        delivery = await webhook_endpoints.get_delivery(source, endpoint, delivery_id)
        may_read = await webhook_endpoints.may_read_payloads(source, member, endpoint)
    context = presenter.build_delivery_context(delivery, may_read=may_read)
    context |= {"form": form, "path": _path(request)}
    if layout is None:
        return render_part(request, "webhook_endpoints/_delivery.html", **context)
    name = webhook_endpoints.get_endpoint_name(endpoint)
    return render_page(
        request,
        "webhook_endpoints/delivery.html",
        layout=layout,
        status=form.status,
        name=name,
        **context,
    )


async def _lock(request: Request, session: Session) -> WebhookEndpoint:
    id = forms.path_id(request, "endpoint_id")
    return await webhook_endpoints.lock_endpoint(session, current_member(request), id)


async def _count_message(request: Request) -> None:
    """Count what an admin sends by hand, before the transaction. Raises Forbidden and TooMany."""
    member = current_member(request)
    organizations.require_admin(member)
    limit = request.state.rate_limits.webhook_messages
    await limit.hit(f"organization {member.organization_id}")


def _path(request: Request) -> str:
    return f"/webhooks/{forms.path_id(request, 'endpoint_id')}"
