"""Gateways, as JSON (contract, agents-and-gateways 9)."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.fields import UNSENT, Answer, Body, Changes, Moment, Name, Ok, Paged
from api.operations import Call, between_transactions, may_answer
from kit.paging import Page
from models import Gateway, Member
from services import gateways

LONGEST_PATH = 1_000  # characters
LONGEST_URL = 500
LONGEST_TOKEN = 4_000

Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_URL)]
Path = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_PATH)
]
Token = Annotated[str, StringConstraints(max_length=LONGEST_TOKEN)]

ADDRESS = "Where it listens: `ws://` or `wss://`, and the port. No token in it."
SHARED = "The gateway's shared token. It is taken, sealed, and never told again."
ROOT = "The folder on the gateway's machine in which its agents have their workspaces."
INSECURE = "Take any certificate: who is between us and the gateway can then read along."
NO_DEVICE = "Show no device: only a gateway on this very machine grants anything then."


class GatewayCheck(Answer):
    """One rung of the ladder that leads to a gateway."""

    name: str = Field(
        description="`address`, `port`, `tls`, `handshake`, `protocol`, `token`, `device` or "
        "`scopes`, in this order."
    )
    state: str = Field(description="`ok`, `failed` or `unknown`.")
    sentence: str = Field(description="What was seen, and what to do about it.")
    command: str | None = Field(description="What to run on the gateway's machine, if that helps.")
    code: str | None = Field(description="What is wrong, for machines.")
    since: Moment | None = Field(default=None, description="Since when it stands so.")


class GatewayChecks(Answer):
    """Whether a gateway can be reached, and what is in the way."""

    is_well: bool
    checks: list[GatewayCheck]
    checked_at: Moment


class GatewayRead(Answer):
    """A gateway. Its token is never told: `token` is always null."""

    name: str
    url: str
    workspace_root: str
    allow_insecure_tls: bool
    disable_device_pairing: bool
    id: UUID
    organization_id: UUID
    token: None = None
    has_token: bool
    gateway_version: str | None = Field(description="As the gateway told when it last let us in.")
    checks: list[GatewayCheck] | None = Field(
        description="How the ladder stood when it was last climbed; null if it never was since the "
        "gateway was changed."
    )
    checked_at: Moment | None
    version: int
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, gateway: Gateway) -> "GatewayRead":
        """Make one of a row, without what is sealed in it."""
        names = cls.model_fields.keys() - {"token", "has_token"}
        fields: dict[str, Any] = {name: getattr(gateway, name) for name in names}
        return cls(**fields, has_token=gateway.sealed_token is not None)


class GatewayCreate(Body):
    """A gateway to be. It need not be there yet: what is in the way is told in `checks`."""

    example = {
        "name": "Workshop",
        "url": "ws://127.0.0.1:18789",
        "workspace_root": "~/.openclaw",
        "token": "what gateway.auth.token is in its config",
    }

    name: Name
    url: Url = Field(description=ADDRESS)
    workspace_root: Path = Field(description=ROOT)
    token: Token | None = Field(default=None, description=SHARED)
    allow_insecure_tls: bool = Field(default=False, description=INSECURE)
    disable_device_pairing: bool = Field(default=False, description=NO_DEVICE)


class GatewayUpdate(Changes):
    """What may be changed of a gateway."""

    name: Name = UNSENT
    url: Url = Field(default=UNSENT, description=ADDRESS)
    workspace_root: Path = Field(default=UNSENT, description=ROOT)
    token: Token | None = Field(default=None, description=f"{SHARED} Null takes it away.")
    allow_insecure_tls: bool = Field(default=UNSENT, description=INSECURE)
    disable_device_pairing: bool = Field(default=UNSENT, description=NO_DEVICE)


async def list_gateways(call: Call, member: Member, query: Paged) -> Page[GatewayRead]:
    """List the organization's gateways, newest first."""
    found = await gateways.listed(call.session, member, query.paging)
    return found.map(GatewayRead.of)


async def get_gateway(call: Call, gateway: Gateway) -> GatewayRead:
    """Return a gateway."""
    return GatewayRead.of(gateway)


@may_answer(409)
@between_transactions
async def create_gateway(call: Call, member: Member, body: GatewayCreate) -> GatewayRead:
    """Add a gateway, and see whether it can be reached. It is kept either way."""
    carrier = carrier_of(call)
    async with call.transaction() as session:
        draft = gateways.GatewayDraft(**dict(body))
        gateway = await gateways.create(session, member, carrier, draft)
    return GatewayRead.of(await _looked_at(call, member, gateway))


@may_answer(404, 409)
@between_transactions
async def update_gateway(
    call: Call, member: Member, gateway_id: UUID, body: GatewayUpdate
) -> GatewayRead:
    """Change a gateway. Only when it is now reached in another way, it is looked at anew."""
    carrier = carrier_of(call)
    async with call.transaction() as session:
        changed = await gateways.change(session, member, carrier, gateway_id, body.changes())
    if changed.checks is None and body.changes().keys() & gateways.REACHED_BY:
        changed = await _looked_at(call, member, changed)
    return GatewayRead.of(changed)


@may_answer(404, 409)
async def delete_gateway(call: Call, member: Member, gateway_id: UUID) -> Ok:
    """Remove a gateway that no board is on, with the agent that looks after it.

    The gateway is asked afterwards to remove what it has of ours, for seven days if it is away.
    """
    await gateways.delete(call.session, member, gateway_id)
    return Ok()


@may_answer(409, 429)
@between_transactions
async def check_gateway(call: Call, member: Member, gateway: Gateway) -> GatewayChecks:
    """See now whether a gateway can be reached, and tell what is in the way."""
    look = await _look(call, member, gateway)
    async with call.transaction() as session:
        await gateways.record(session, member, gateway, look)
    return GatewayChecks(is_well=look.is_well, checks=checks(look.checks), checked_at=look.at)


def carrier_of(call: Call) -> gateways.Carrier:
    """Return what reaches gateways."""
    carrier: gateways.Carrier = call.request.state.carrier
    return carrier


def knock(call: Call, organization_id: UUID) -> None:
    """Count a visit to some gateway. Raises TooMany: nobody is to try out ports from here."""
    call.request.state.limits.gateways.visit(str(organization_id))


def checks(rows: list[dict[str, Any]]) -> list[GatewayCheck]:
    """Make the rungs of a ladder of what was written down."""
    return [GatewayCheck(**row) for row in rows]


async def _looked_at(call: Call, member: Member, gateway: Gateway) -> Gateway:
    look = await _look(call, member, gateway)
    async with call.transaction() as session:
        return await gateways.record(session, member, gateway, look)


async def _look(call: Call, member: Member, gateway: Gateway) -> gateways.Look:
    knock(call, member.organization_id)
    return await gateways.Look.at_gateway(carrier_of(call), gateway)
