"""Sessions of a gateway and their history.

No transaction is open during calls to a gateway, and reading changes nothing there.
"""

import hashlib
from typing import Annotated, ClassVar
from uuid import UUID, uuid4

from pydantic import Field, StringConstraints

from api.endpoints.gateways import check_rate_limit
from api.framework.dependencies import admin_membership
from api.framework.fields import JsonObject, Ok, RequestModel, RequiredText, ResponseModel
from api.framework.idempotency import read_idempotency_key
from api.framework.operation import (
    USER,
    Operation,
    changes_decisions,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.errors import Invalid, UpstreamError
from models import Gateway, Member
from services import gateways, organizations

SessionKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    Field(description="The key of the session on the gateway.", examples=["agent:main:main"]),
]


class GatewayBoardQuery(RequestModel):
    """The board whose gateway is used."""

    component: ClassVar[str] = "OfBoard"

    board_id: UUID | None = Field(
        default=None, description="A board that is on the gateway. Without one: 422."
    )


class HistoryQuery(GatewayBoardQuery):
    """Which messages of a session to read."""

    limit: int = Field(
        default=200,
        ge=1,
        le=1_000,  # maximum of the gateway in one response
        description="Maximum number of messages; the last ones are returned.",
    )


class GatewaySessionsResponse(ResponseModel):
    """The sessions of a gateway, and the session of its main agent."""

    sessions: list[JsonObject]
    main_session: JsonObject | None


class GatewaySessionResponse(ResponseModel):
    """A session, as described by the gateway."""

    session: JsonObject


class GatewaySessionHistoryResponse(ResponseModel):
    """The messages of a session, oldest first."""

    history: list[JsonObject]


class GatewaySessionMessageRequest(RequestModel):
    """A message to a session."""

    example = {"content": "How far are you?"}

    content: RequiredText


class GatewayCommandsResponse(ResponseModel):
    """The methods and events of the gateway protocol."""

    protocol_version: int
    methods: list[str]
    events: list[str]
    gateway_version: str = Field(
        description="The version of OpenClaw with these methods and events."
    )


@reads_only
async def list_gateway_commands(context: RequestContext, member: Member) -> GatewayCommandsResponse:
    """List the methods and events of the gateway protocol."""
    return GatewayCommandsResponse(
        protocol_version=gateways.PROTOCOL_VERSION,
        methods=list(gateways.GATEWAY_METHODS),
        events=list(gateways.GATEWAY_EVENTS),
        gateway_version=gateways.CATALOGUE_VERSION,
    )


@error_responses(403, 404, 409, 429, 502)
@without_transaction
async def list_gateway_sessions(
    context: RequestContext, query: GatewayBoardQuery
) -> GatewaySessionsResponse:
    """List the sessions of a board's gateway that the user may read."""
    gateway, owners = await _load_gateway(context, query.board_id)
    async with context.gateway_connector.connect(gateway) as link:
        found = gateways.filter_readable_sessions(
            await gateways.list_sessions(link, gateway.session_key), owners
        )
    main = found.main_session
    return GatewaySessionsResponse(
        sessions=[dict(row) for row in found.sessions], main_session=dict(main) if main else None
    )


@error_responses(403, 404, 409, 429, 502)
@without_transaction
async def get_gateway_session(
    context: RequestContext, session_id: SessionKey, query: GatewayBoardQuery
) -> GatewaySessionResponse:
    """Return a session by its key, for users who may read the board of its agent."""
    gateway = await _get_session_gateway(context, session_id, query.board_id)
    async with context.gateway_connector.connect(gateway) as link:
        return GatewaySessionResponse(session=dict(await gateways.get_session(link, session_id)))


@error_responses(403, 404, 409, 429, 502)
@without_transaction
async def get_gateway_history(
    context: RequestContext, session_id: SessionKey, query: HistoryQuery
) -> GatewaySessionHistoryResponse:
    """Return the last messages of a session. A missing session has an empty history."""
    gateway = await _get_session_gateway(context, session_id, query.board_id)
    async with context.gateway_connector.connect(gateway) as link:
        history = await gateways.load_chat_history(link, session_id, limit=query.limit)
    return GatewaySessionHistoryResponse(history=[dict(row) for row in history.messages])


@changes_decisions  # a gateway executes texts such as "/approve <id> allow-always"
@error_responses(403, 404, 409, 429, 502)
@without_transaction
async def send_gateway_message(
    context: RequestContext,
    session_id: SessionKey,
    query: GatewayBoardQuery,
    body: GatewaySessionMessageRequest,
) -> Ok:
    """Send a message to a session, for users who may change the board of its agent.

    With an Idempotency-Key a repeated request sends the message only once.
    """
    gateway = await _get_session_gateway(context, session_id, query.board_id, to_write=True)
    async with context.transaction() as session:
        await organizations.require_not_stopped(session, gateway.organization_id)
    async with context.gateway_connector.connect(gateway) as link:
        await gateways.send_chat_message(
            link, session_id, body.content, idempotency_key=_get_message_key(context, session_id)
        )
    return Ok()


async def _get_session_gateway(
    context: RequestContext,
    session_id: SessionKey,
    board_id: UUID | None,
    *,
    to_write: bool = False,
) -> Gateway:
    """Return the gateway of a board, for users with access to this session."""
    gateway, owners = await _load_gateway(context, board_id, to_write=to_write)
    gateways.find_session_owner(session_id, owners, to_write=to_write)
    return gateway


async def _load_gateway(
    context: RequestContext, board_id: UUID | None, *, to_write: bool = False
) -> tuple[Gateway, gateways.SessionOwners]:
    """Return the gateway of a board with the owners of its sessions, and apply the rate limit."""
    if board_id is None:
        raise Invalid("board_required", "Name a board.")
    async with context.transaction() as session:
        gateway = await gateways.get_board_gateway(
            session, context.user, board_id, to_write=to_write
        )
        owners = await gateways.load_session_owners(session, context.user, gateway)
    await check_rate_limit(context, gateway.organization_id)
    return gateway, owners


def _get_message_key(context: RequestContext, session_id: SessionKey) -> str:
    """Return the key that identifies a message on the gateway: from the caller's key, or new."""
    key = read_idempotency_key(context.request)
    if key is None:
        return str(uuid4())
    return hashlib.sha256(f"{context.user.id} {session_id} {key}".encode()).hexdigest()


TOKEN_HEADER = "X-Gateway-Token"  # noqa: S105 - the name of a header


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


class GatewaysStatusResponse(ResponseModel):
    """Whether the gateway accepts the connection, and its sessions. A failure is in `error`."""

    connected: bool
    gateway_url: str
    sessions_count: int | None = None
    sessions: list[JsonObject] | None = None
    main_session: JsonObject | None = None
    main_session_error: str | None = None
    error: str | None = None
    code: str | None = Field(default=None, description="The error code.")


@error_responses(403, 404, 409, 429)
@without_transaction
async def get_gateway_status(context: RequestContext, query: StatusQuery) -> GatewaysStatusResponse:
    """Check whether a gateway accepts the connection. A failure is a result, not an error."""
    # This parameter of the contract is refused, because URLs appear in logs of proxies. The web
    # client of the original shows the reason to a person, so it also names the page.
    if "gateway_token" in context.request.query_params:
        page = f"{context.settings.base_url.rstrip('/')}/gateways"
        reason = (
            f"Send the token in the header {TOKEN_HEADER}, not in the URL, which servers on the way"
            f" may log. People enter it at {page}"
        )
        raise Invalid("gateway_token_in_query", reason)
    connector = context.gateway_connector
    async with context.transaction() as session:
        if query.gateway_url:
            member = await organizations.get_or_create_active_membership(session, context.user)
            organization_id = member.organization_id
            saved = await gateways.find_gateway_by_url(session, member, query.gateway_url)
            target = connector.make_target_for_url(
                query.gateway_url,
                context.request.headers.get(TOKEN_HEADER, "").strip(),
                known_gateway=saved,
                allows_private=await gateways.may_be_private(session, connector, organization_id),
                allow_insecure_tls=query.gateway_allow_insecure_tls,
                disable_device_pairing=query.gateway_disable_device_pairing,
            )
        elif query.board_id is not None:
            saved = await gateways.get_board_gateway(session, context.user, query.board_id)
            organization_id = saved.organization_id
            target = connector.make_target(saved)
        else:
            raise Invalid("board_required", "Name a board, or an address.")
        owners: gateways.SessionOwners = {}
        if saved is not None:
            owners = await gateways.load_session_owners(session, context.user, saved)
    await check_rate_limit(context, organization_id)
    try:
        async with connector.connect_to(target) as link:
            session_list = await gateways.list_sessions(link, saved.session_key if saved else None)
    except UpstreamError as error:
        return GatewaysStatusResponse(
            connected=False, gateway_url=target.url, error=error.message, code=error.code
        )
    found = gateways.filter_readable_sessions(session_list, owners)
    return GatewaysStatusResponse(
        connected=True,
        gateway_url=target.url,
        sessions_count=found.total,
        sessions=[dict(row) for row in found.sessions],
        main_session=dict(found.main_session) if found.main_session else None,
    )


SESSION = "/gateways/sessions/{session_id}"
TAGS = ["gateways"]

OPERATIONS = [
    Operation("GET", "/gateways/status", get_gateway_status, USER, TAGS),
    Operation("GET", "/gateways/commands", list_gateway_commands, USER, TAGS, admin_membership),
    Operation("GET", "/gateways/sessions", list_gateway_sessions, USER, TAGS),
    Operation("GET", SESSION, get_gateway_session, USER, TAGS),
    Operation("GET", SESSION + "/history", get_gateway_history, USER, TAGS),
    Operation("POST", SESSION + "/message", send_gateway_message, USER, TAGS),
]
