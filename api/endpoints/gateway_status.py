"""Whether a gateway accepts a connection: of a board, or at a URL (contract, agents 8)."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import Field

from api.endpoints.gateways import check_rate_limit
from api.framework.fields import JsonObject, RequestModel, ResponseModel
from api.framework.handler import RequestContext, error_responses, without_transaction
from core.errors import Invalid, UpstreamError
from models import Gateway
from services import gateways, organizations

TOKEN_HEADER = "X-Gateway-Token"  # noqa: S105 - the name of a header
TOKEN_PARAMETER = "gateway_token"  # noqa: S105 - a parameter of the contract that is refused


class StatusQuery(RequestModel):
    """The gateway to check: of a board, or a URL."""

    board_id: UUID | None = Field(default=None, description="A board that is on the gateway.")
    gateway_url: str | None = Field(
        default=None,
        max_length=gateways.MAX_URL_LENGTH,
        description="A URL instead of a board.",
    )
    gateway_disable_device_pairing: bool | None = Field(
        default=None, description="For a URL: connect without a device."
    )
    gateway_allow_insecure_tls: bool | None = Field(
        default=None, description="For a URL: accept any certificate."
    )


class GatewayStatus(ResponseModel):
    """Whether the gateway accepts the connection, and its sessions. A failure is in `error`."""

    connected: bool
    gateway_url: str
    sessions_count: int | None = None
    sessions: list[JsonObject] | None = None
    main_session: JsonObject | None = None
    main_session_error: str | None = None
    error: str | None = None
    code: str | None = Field(default=None, description="The error code.")


@dataclass(frozen=True)
class StatusTarget:
    """A gateway to check: how it is reached, and the owners of its sessions."""

    organization_id: UUID
    target: Any
    main_key: str | None = None
    owners: gateways.SessionOwners = field(default_factory=dict)


@error_responses(403, 404, 409, 429)
@without_transaction
async def get_gateway_status(context: RequestContext, query: StatusQuery) -> GatewayStatus:
    """Check whether a gateway accepts the connection. A failure is a result, not an error."""
    _refuse_token_in_query(context)
    status_target = await _load_status_target(context, query)
    check_rate_limit(context, status_target.organization_id)
    target = status_target.target
    try:
        async with context.gateway_connector.connect_to(target) as link:
            session_list = await gateways.list_sessions(link, status_target.main_key)
    except UpstreamError as error:
        return GatewayStatus(
            connected=False, gateway_url=target.url, error=error.message, code=error.code
        )
    found = gateways.filter_readable_sessions(session_list, status_target.owners)
    return GatewayStatus(
        connected=True,
        gateway_url=target.url,
        sessions_count=found.total,
        sessions=[dict(row) for row in found.sessions],
        main_session=dict(found.main_session) if found.main_session else None,
    )


async def _load_status_target(context: RequestContext, query: StatusQuery) -> StatusTarget:
    """Return the gateway to check. Raises Invalid without a board and a URL."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        if query.gateway_url:
            member = await organizations.get_or_create_active_membership(session, context.user)
            saved = await gateways.find_gateway_by_url(session, member, query.gateway_url)
            allows_private = await gateways.may_be_private(
                session, connector, member.organization_id
            )
            target = _build_target(context, query, saved, allows_private=allows_private)
            if saved is None:
                return StatusTarget(member.organization_id, target)
        elif query.board_id is not None:
            saved = await gateways.get_board_gateway(session, context.user, query.board_id)
            target = connector.make_target(saved)
        else:
            raise Invalid("board_required", "Name a board, or an address.")
        owners = await gateways.load_session_owners(session, context.user, saved)
        return StatusTarget(saved.organization_id, target, saved.session_key, owners)


def _refuse_token_in_query(context: RequestContext) -> None:
    """Raise Invalid for a token in the URL, because URLs appear in logs of proxies."""
    if TOKEN_PARAMETER in context.request.query_params:
        reason = f"Send the token in the header {TOKEN_HEADER}, not in the URL."
        raise Invalid("gateway_token_in_query", reason)


def _build_target(
    context: RequestContext,
    query: StatusQuery,
    saved: Gateway | None,
    *,
    allows_private: bool,
) -> Any:
    """Return the connection target for a URL, with the saved gateway as default."""
    return context.gateway_connector.make_target_for_url(
        query.gateway_url or "",
        context.request.headers.get(TOKEN_HEADER, "").strip(),
        known_gateway=saved,
        allows_private=allows_private,
        allow_insecure_tls=query.gateway_allow_insecure_tls,
        disable_device_pairing=query.gateway_disable_device_pairing,
    )
