"""Looking into a gateway: its sessions and what is said in them (contract, agents 8).

Nobody waits for a gateway inside a transaction, and looking changes nothing there (W-52).
"""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import Field, StringConstraints

from api.fields import Answer, Body, JsonObject, Ok, Words
from api.gateways import LONGEST_TOKEN, LONGEST_URL, carrier_of, knock
from api.idempotency import key_of
from api.operations import Call, between_transactions, may_answer
from kit.errors import Invalid, OutsideFailed
from models import Gateway, Member
from services import gateways, organizations

TOKEN_HEADER = "X-Gateway-Token"  # noqa: S105 - the name of a header
LONGEST_KEY = 500  # characters
KEY = "agent:main:main"
MOST_MESSAGES = 1_000  # that a gateway gives at once


SessionKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_KEY),
    Field(description="The key of the session, as the gateway tells it.", examples=[KEY]),
]


class OfBoard(Body):
    """Whose gateway is asked."""

    board_id: UUID = Field(description="A board that is on the gateway.")


class HistoryQuery(OfBoard):
    """Which part of a session to read."""

    limit: int = Field(default=200, ge=1, le=MOST_MESSAGES, description="The last so many.")


class StatusQuery(Body):
    """Which gateway to look at: the one of a board, or an address."""

    board_id: UUID | None = Field(default=None, description="A board that is on the gateway.")
    gateway_url: str | None = Field(
        default=None, max_length=LONGEST_URL, description="An address, instead of a board."
    )
    gateway_token: str | None = Field(
        default=None,
        max_length=LONGEST_TOKEN,
        description="Deprecated: addresses end up in logs. Send the header X-Gateway-Token.",
        json_schema_extra={"deprecated": True},
    )
    gateway_disable_device_pairing: bool | None = Field(
        default=None, description="Of an address: come without a device."
    )
    gateway_allow_insecure_tls: bool | None = Field(
        default=None, description="Of an address: believe any certificate."
    )


class GatewayStatus(Answer):
    """Whether a gateway lets us in, and its sessions. What is in the way is `error`."""

    connected: bool
    gateway_url: str
    sessions_count: int | None = None
    sessions: list[JsonObject] | None = None
    main_session: JsonObject | None = None
    main_session_error: str | None = None
    error: str | None = None
    code: str | None = Field(default=None, description="What is in the way, for machines.")


class GatewaySessions(Answer):
    """The sessions of a gateway, and among them that of the agent that looks after it."""

    sessions: list[JsonObject]
    main_session: JsonObject | None


class GatewaySession(Answer):
    """One session, as the gateway tells of it."""

    session: JsonObject


class GatewayHistory(Answer):
    """What was said in a session, oldest first."""

    history: list[JsonObject]


class GatewayMessage(Body):
    """Something to say in a session."""

    example = {"content": "How far are you?"}

    content: Words


class GatewayCommands(Answer):
    """What can be asked of a gateway, and what it tells by itself."""

    protocol_version: int
    methods: list[str]
    events: list[str]
    gateway_version: str = Field(description="The version of OpenClaw that offers all of this.")


@dataclass(frozen=True)
class Asked:
    """A gateway whose status is asked about: how it is reached, and whose its sessions are."""

    organization_id: UUID
    target: Any
    main_key: str | None = None
    owners: gateways.Owners = field(default_factory=dict)


@may_answer(403, 404, 409, 429)
@between_transactions
async def get_gateway_status(call: Call, query: StatusQuery) -> GatewayStatus:
    """Look whether a gateway lets us in. That it does not is an answer, and no error."""
    asked = await _of_query(call, query)
    knock(call, asked.organization_id)
    target = asked.target
    try:
        async with carrier_of(call).link_to(target) as link:
            told = await gateways.sessions(link, asked.main_key)
    except OutsideFailed as error:
        return GatewayStatus(
            connected=False, gateway_url=target.url, error=error.message, code=error.code
        )
    found = gateways.readable(told, asked.owners)
    return GatewayStatus(
        connected=True,
        gateway_url=target.url,
        sessions_count=found.total,
        sessions=[dict(row) for row in found.sessions],
        main_session=dict(found.main_session) if found.main_session else None,
    )


async def list_gateway_commands(call: Call, member: Member) -> GatewayCommands:
    """List what can be asked of gateways at all."""
    return GatewayCommands(
        protocol_version=gateways.PROTOCOL,
        methods=list(gateways.METHODS),
        events=list(gateways.EVENTS),
        gateway_version=gateways.OFFERED_BY,
    )


@may_answer(403, 404, 409, 429, 502)
@between_transactions
async def list_gateway_sessions(call: Call, query: OfBoard) -> GatewaySessions:
    """List the sessions of a board's gateway that the caller may read."""
    gateway, owners = await _reached(call, query.board_id)
    async with carrier_of(call).link(gateway) as link:
        found = gateways.readable(await gateways.sessions(link, gateway.session_key), owners)
    main = found.main_session
    return GatewaySessions(
        sessions=[dict(row) for row in found.sessions], main_session=dict(main) if main else None
    )


@may_answer(403, 404, 409, 429, 502)
@between_transactions
async def get_gateway_session(call: Call, session_id: SessionKey, query: OfBoard) -> GatewaySession:
    """Return one session, by its key, to who reads the board of its agent."""
    gateway = await _of_session(call, session_id, query.board_id)
    async with carrier_of(call).link(gateway) as link:
        return GatewaySession(session=dict(await gateways.session_of(link, session_id)))


@may_answer(403, 404, 409, 429, 502)
@between_transactions
async def get_gateway_history(
    call: Call, session_id: SessionKey, query: HistoryQuery
) -> GatewayHistory:
    """Return what was last said in a session. One that is not there has no history."""
    gateway = await _of_session(call, session_id, query.board_id)
    async with carrier_of(call).link(gateway) as link:
        said = await gateways.history(link, session_id, limit=query.limit)
    return GatewayHistory(history=[dict(row) for row in said.messages])


@may_answer(403, 404, 409, 429, 502)
@between_transactions
async def send_gateway_message(
    call: Call, session_id: SessionKey, query: OfBoard, body: GatewayMessage
) -> Ok:
    """Say something in a session, for those who may change the board, and that of its agent.

    With an Idempotency-Key, the same message is said once however often it is sent.
    """
    gateway = await _of_session(call, session_id, query.board_id, to_write=True)
    async with carrier_of(call).link(gateway) as link:
        await gateways.say(link, session_id, body.content, once=_once(call, session_id))
    return Ok()


async def _of_session(
    call: Call, session_id: SessionKey, board_id: UUID, *, to_write: bool = False
) -> Gateway:
    """Return the gateway of a board, for those who may look into this session there."""
    gateway, owners = await _reached(call, board_id, to_write=to_write)
    gateways.owner_of(session_id, owners, to_write=to_write)
    return gateway


async def _reached(
    call: Call, board_id: UUID, *, to_write: bool = False
) -> tuple[Gateway, gateways.Owners]:
    """Return the gateway of a board with the agents of ours there, and count the visit to it."""
    async with call.transaction() as session:
        gateway = await gateways.for_board(session, call.user, board_id, to_write=to_write)
        owners = await gateways.owners(session, call.user, gateway)
    knock(call, gateway.organization_id)
    return gateway, owners


async def _of_query(call: Call, query: StatusQuery) -> Asked:
    """Find what is asked about. Raises Invalid where nothing is."""
    carrier = carrier_of(call)
    async with call.transaction() as session:
        if query.gateway_url:
            member = await organizations.active(session, call.user)
            saved = await gateways.with_url(session, member, query.gateway_url)
            target = _asked_for(call, carrier, query, saved)
            if saved is None:
                return Asked(member.organization_id, target)
        elif query.board_id is not None:
            saved = await gateways.for_board(session, call.user, query.board_id)
            target = carrier.target(saved)
        else:
            raise Invalid("board_required", "Name a board, or an address.")
        owners = await gateways.owners(session, call.user, saved)
        return Asked(saved.organization_id, target, saved.session_key, owners)


def _asked_for(
    call: Call, carrier: gateways.Carrier, query: StatusQuery, saved: Gateway | None
) -> Any:
    """Return how an address is reached, as it was asked, and else as a gateway that is saved."""
    header = call.request.headers.get(TOKEN_HEADER, "").strip()
    return carrier.asked_for(
        query.gateway_url or "",
        header or (query.gateway_token or "").strip(),
        like=saved,
        allow_insecure_tls=query.gateway_allow_insecure_tls,
        disable_device_pairing=query.gateway_disable_device_pairing,
    )


def _once(call: Call, session_id: SessionKey) -> str:
    """Return the key by which a gateway knows a message again: the caller's, or a new one."""
    key = key_of(call.request)
    if key is None:
        return str(uuid4())
    return hashlib.sha256(f"{call.user.id} {session_id} {key}".encode()).hexdigest()
