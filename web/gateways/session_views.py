"""Pages of a gateway's sessions: the list, a transcript, and sending a message.

The gateway is queried after the page is shown, so that nothing waits for it. With `?wait=1`, which
browsers without scripts use, the page includes its reply.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import AppError, UpstreamError
from core.http.request import hit_gateway_limits, open_reader, open_transaction
from services import gateway_status, gateways, organizations
from services.gateways import GatewaySummary, SessionOwner, SessionOwners
from web.auth.viewer import current_member
from web.gateways.connection_texts import describe_check, describe_upstream_error
from web.gateways.session_presenter import (
    build_session_row,
    build_session_rows,
    parse_transcript,
)
from web.gateways.views import (
    TEMPLATE_FUNCTIONS,
    count_gateway_request,
    gateway_connector,
)
from web.ui import forms
from web.ui.formatted_texts import format_texts
from web.ui.layout import load_layout
from web.ui.locale_format import describe_error
from web.ui.render import is_part_request, render_page, render_part

DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000  # messages of a transcript

GatewayResult = TypeVar("GatewayResult")


class SessionMessageForm(BaseModel):
    """A message, and the key that identifies it when it is sent again."""

    message: forms.Text
    once: forms.Line


@dataclass(frozen=True)
class SessionView:
    """A session that the member can read."""

    summary: GatewaySummary
    key: str
    owner: SessionOwner | None  # None if the agent does not belong to this server

    @property
    def can_send(self) -> bool:
        """Return whether the member can send messages."""
        return self.owner is None or self.owner.can_write


async def show_sessions(request: Request) -> Response:
    """Show the sessions of a gateway; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        summary, owners = await load_gateway_agents(request, source)
    context: dict[str, Any] = {"summary": summary, "rows": (), "problem": "", "is_loaded": False}
    context["total"] = 0
    if layout is None or waits_for_gateway(request):
        result, problem = await query_gateway(request, summary, gateways.list_sessions)
        rows = build_session_rows(result, owners) if result else ()
        context |= {"rows": rows, "problem": problem, "is_loaded": True}
        context["total"] = result.total if result else 0
    if layout is None:
        return render_part(request, "gateways/_sessions.html", **context)
    return render_page(
        request, "gateways/sessions.html", layout=layout, **context, **TEMPLATE_FUNCTIONS
    )


async def show_session(request: Request) -> Response:
    """Show the transcript of a session; for htmx only that."""
    return await _render_session(request, forms.Form())


async def send_message(request: Request) -> Response:
    """Send a message to a session."""
    form = await forms.read_form(request)
    if is_part_request(request):
        await _send_message(request, form.parse(SessionMessageForm))
        return await _render_session(request, forms.Form())
    with form.catch_errors(beside="message"):
        await _send_message(request, form.parse(SessionMessageForm))
        gateway_id, key = forms.path_id(request, "gateway_id"), request.path_params["key"]
        path = f"/gateways/{gateway_id}/sessions/{quote(key)}"
        return RedirectResponse(f"{path}?wait=1#say", 303)
    return await _render_session(request, form)


async def _send_message(request: Request, fields: SessionMessageForm) -> None:
    async with open_transaction(request) as session:
        view = await _get_session(request, session, to_write=True)
        organization_id = view.summary.gateway.organization_id
        await organizations.require_not_stopped(session, organization_id)
    await hit_gateway_limits(request, organization_id, request.user.id)
    try:
        async with gateway_connector(request).connect(view.summary.gateway) as client:
            await gateways.send_chat_message(
                client, view.key, fields.message, idempotency_key=fields.once
            )
    except UpstreamError as error:
        error.text = describe_upstream_error(error)
        raise


async def _render_session(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        view = await _get_session(request, source)
    limit = MAX_LIMIT if request.query_params.get("more") else DEFAULT_LIMIT
    context: dict[str, Any] = {
        "session_view": view,
        "summary": view.summary,
        "form": form,
        "once": uuid4(),
    }
    context |= {
        "messages": (),
        "history": None,
        "usage": None,
        "problem": "",
        "formatted": {},
        "limit": limit,
        "default_limit": DEFAULT_LIMIT,
    }
    if layout is None or waits_for_gateway(request) or form.is_submitted:
        result, problem = await query_gateway(
            request,
            view.summary,
            lambda client: gateways.load_chat_history(client, view.key, limit=limit),
        )
        messages = await asyncio.to_thread(parse_transcript, result.messages) if result else ()
        usage = build_session_row(view.key, result.session, {}) if result else None
        formatted = await format_texts(message.text for message in messages)
        context |= {"messages": messages, "history": result, "usage": usage, "problem": problem}
        context["formatted"] = formatted
    if layout is None:
        return render_part(request, "gateways/_transcript.html", form.status, apart=True, **context)
    context |= {
        "status": form.status,
        "is_loaded": waits_for_gateway(request) or form.is_submitted,
        **TEMPLATE_FUNCTIONS,
    }
    return render_page(request, "gateways/session.html", layout=layout, **context)


async def query_gateway(
    request: Request, summary: GatewaySummary, query: Callable[..., Awaitable[GatewayResult]]
) -> tuple[GatewayResult | None, str]:
    """Query a gateway outside a transaction; return the result, or None and the reason.

    A gateway that a worker just found unreachable is not queried.
    """
    failing = gateway_status.find_connection_failure(summary.gateway.checks)
    if failing is not None and summary.is_leased:
        return None, describe_check(failing, summary.gateway)
    try:
        await count_gateway_request(request, summary)
        async with gateway_connector(request).connect(summary.gateway) as client:
            return await query(client), ""
    except UpstreamError as error:
        return None, describe_upstream_error(error)
    except AppError as error:
        return None, describe_error(error)


async def load_gateway_agents(
    request: Request, source: Source
) -> tuple[GatewaySummary, SessionOwners]:
    """Return the gateway of the path, and its agents that belong to this server."""
    member = current_member(request)
    summary = await gateways.get_gateway_summary(
        source, member, forms.path_id(request, "gateway_id")
    )
    return summary, await gateways.load_session_owners(source, member.user, summary.gateway)


async def _get_session(request: Request, source: Source, *, to_write: bool = False) -> SessionView:
    """Return the session of the path. Raises NotFound and Forbidden."""
    summary, owners = await load_gateway_agents(request, source)
    key: str = request.path_params["key"]
    return SessionView(summary, key, gateways.find_session_owner(key, owners, to_write=to_write))


def waits_for_gateway(request: Request) -> bool:
    """Return whether the page has to include the reply of the gateway."""
    return bool(request.query_params.get("wait"))
