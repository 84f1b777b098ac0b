"""Pages of the payloads that a webhook has received."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from services import board_webhooks
from web.board_webhooks.presenter import (
    WebhookPayloadRow,
    build_url,
    describe_payload,
    describe_rejection,
    page_path,
)
from web.boards.views import board_access, board_for_update
from web.ui import flash_cookies, forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part

PAGE_SIZE = 20  # payloads


async def show_webhook(request: Request) -> Response:
    """Show a webhook with its payloads; for htmx only the payloads."""
    layout = None if is_part_request(request) else await load_layout(request)
    paging = Paging(PAGE_SIZE, forms.parse_offset(request.query_params))
    async with open_reader(request) as source:
        access = await board_access(request, source)
        webhook, page = await board_webhooks.list_payload_overviews(
            source, access.board, forms.path_id(request, "webhook_id"), paging
        )
        overviews = await board_webhooks.list_webhook_overviews(source, access.board)
    overview = next(one for one in overviews if one.webhook.id == webhook.id)
    newest = page.items[0].received_at if page.items else None
    context: dict[str, Any] = {
        "board": access.board,
        "webhook": webhook,
        "page": page.map(WebhookPayloadRow.from_overview),
        "path": page_path(access.board, webhook),
        "queued_count": overview.queued_count,
        "rejection": "" if paging.offset else describe_rejection(webhook, newest),
    }
    if layout is None:
        return render_part(request, "board_webhooks/_payloads.html", **context)
    response = render_page(
        request,
        "board_webhooks/show.html",
        layout=layout,
        can_write=access.can_write,
        url=build_url(get_settings(request).base_url, webhook),
        has_short_secret=access.can_write
        and board_webhooks.has_short_secret(webhook, request.state.secret_cipher),
        agent_name=overview.agent_name,
        secret=flash_cookies.read_secret(request),
        **context,
    )
    return flash_cookies.forget_secret(request, response)


async def show_payload(request: Request) -> Response:
    """Show a payload with its headers; for htmx only what is in the page."""
    return await _render_payload(request, forms.Form())


async def send_payload_again(request: Request) -> Response:
    """Send a payload to the agent again, and redirect to the payload."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            await board_webhooks.send_again(
                session,
                request.user,
                await board_for_update(request, session),
                forms.path_id(request, "webhook_id"),
                forms.path_id(request, "payload_id"),
                base_url=get_settings(request).base_url,
            )
        return RedirectResponse(request.url.path.removesuffix("/messages"), 303)
    return await _render_payload(request, form)


async def _render_payload(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        access = await board_access(request, source)
        webhook, overview, stored = await board_webhooks.load_payload(
            source,
            access.board,
            forms.path_id(request, "webhook_id"),
            forms.path_id(request, "payload_id"),
        )
    context: dict[str, Any] = {
        "board": access.board,
        "webhook": webhook,
        "row": WebhookPayloadRow.from_overview(overview),
        "can_write": access.can_write,
        "path": f"{page_path(access.board, webhook)}/payloads/{stored.id}",
        "form": form,
        **describe_payload(stored),
    }
    if layout is None:
        return render_part(request, "board_webhooks/_payload.html", **context)
    return render_page(
        request, "board_webhooks/payload.html", layout=layout, status=form.status, **context
    )
