"""Commands on gateways, and the leases of the processes that connect to them.

Nothing here uses the network: probes are separate.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo
from sqlalchemy import (
    Interval,
    Select,
    String,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

import openclaw
from core.clock import now
from core.errors import Conflict, Invalid
from core.fields import PRINTABLE, FieldKind, Fields, Label, Name, Patch, build_line_constraints
from core.text import N_
from models import Agent, Board, EventType, Gateway, Member
from services import agents, desired_state, events, organizations, rows
from services.gateways.address_rules import (
    check_address_is_free,
    check_token_is_given,
    load_address_changes,
    may_be_private,
)
from services.gateways.ca_certificates import (
    MAX_CA_LENGTH,
    get_audited_value,
    normalize_ca_certificates,
)
from services.gateways.connector import GatewayConnector
from services.gateways.queries import lock_gateway
from services.outbox import wake_workers

CONNECTION_FIELDS = frozenset(
    {"url", "token", "allow_insecure_tls", "ca_certificates", "disable_device_pairing"}
)
"""The fields that affect the connection: after a change the check results are outdated."""

TOKEN_CONFIG_LINE = re.compile(r"""["']?token["']?\s*:\s*(["'])(?P<token>.*)\1\s*,?""")
"""The config line that `grep token` prints: users paste it as a whole."""


def _check_single_line(text: str, info: ValidationInfo) -> str:
    if not text.isprintable():
        reason = N_("This is one line of letters and signs.")
        raise Invalid("bad_character", reason, field=info.field_name)
    return text


def _check_url(url: str) -> str:
    """Check an address: ws or wss, a host, and no secrets. The host is not resolved."""
    try:
        openclaw.parse_address(url)
    except openclaw.GatewayError as error:
        raise Invalid("url_invalid", error.message, field="url") from None
    return url


def _normalize_token(text: str | None, info: ValidationInfo) -> str | None:
    """Strip a token; of a line of a configuration only the token is kept."""
    if not text:
        return text
    line = TOKEN_CONFIG_LINE.fullmatch(text.strip())
    return _check_single_line((line["token"] if line else text).strip(), info)


class GatewayCreate(Fields):
    """A new gateway. It need not be reachable yet: problems are listed in `checks`."""

    example = {
        "name": "Workshop",
        "url": "ws://127.0.0.1:18789",
        "workspace_root": "~/.openclaw",
        "token": "what gateway.auth.token is in its config",
    }

    name: Annotated[Name, PRINTABLE, Label(N_("Name"), FieldKind.LINE)]
    url: Annotated[
        str,
        build_line_constraints(openclaw.MAX_URL_LENGTH),
        AfterValidator(_check_url),
        Label(N_("Address"), FieldKind.LINE),
        Field(description="The URL with `ws://` or `wss://` and a port, without a token."),
    ]
    workspace_root: Annotated[
        str,
        build_line_constraints(1_000),
        AfterValidator(_check_single_line),
        Label(N_("Workspace folder"), FieldKind.LINE),
        Field(description="The folder on the gateway's machine with the workspaces of its agents."),
    ]
    token: Annotated[  # without a label: its form never shows the stored one
        Annotated[str, StringConstraints(max_length=4_000)] | None,
        AfterValidator(_normalize_token),
        Field(description="The gateway's shared token. It is encrypted and never returned."),
    ] = None
    allow_insecure_tls: Annotated[
        bool,
        Label(N_("Accept any certificate")),
        Field(description="Accept any certificate. The connection can then be intercepted."),
    ] = False
    ca_certificates: Annotated[
        Annotated[str, StringConstraints(max_length=MAX_CA_LENGTH)] | None,
        AfterValidator(normalize_ca_certificates),
        Label(N_("CA certificate"), FieldKind.TEXT),
        Field(
            description="PEM certificates of the only CAs that may issue the gateway's certificate."
        ),
    ] = None
    disable_device_pairing: Annotated[
        bool,
        Label(N_("Turn off device pairing")),
        Field(description="Connect without a device. Only gateways on this machine then allow it."),
    ] = False


class GatewayUpdate(GatewayCreate, Patch):
    """Changes of a gateway."""

    example = None
    may_be_empty = True
    descriptions = {
        "token": "The gateway's shared token. It is encrypted and never returned. Null keeps it,"
        " and an empty text removes it.",
        "ca_certificates": "PEM certificates of the only CAs that may issue the gateway's"
        " certificate. Null removes them.",
    }

    def changes(self) -> dict[str, Any]:
        """Return the given fields, without a null token: that is what GET returns."""
        given = super().changes()
        return {name: value for name, value in given.items() if (name, value) != ("token", None)}


def _name_conflict() -> Conflict:
    return Conflict("gateway_name_taken", N_("Another gateway has that name."), field="name")


UNIQUE_ERRORS: rows.UniqueErrors = {"uq_gateways_organization_id_name": _name_conflict}


GATEWAYS_TOPIC = "gateways"
"""The topic on which workers are woken when gateways were added, changed or deleted."""


async def create_gateway(
    session: AsyncSession, member: Member, connector: GatewayConnector, fields: GatewayCreate
) -> Gateway:
    """Create a gateway in the member's organization, and the agent that manages it.

    Raises Forbidden unless the member is an admin, and Conflict for a name or an address that
    another gateway has.
    """
    organizations.require_admin(member)
    values = dict(fields)
    token = values.pop("token")
    await _check_is_free(session, member.organization_id, values)
    gateway = rows.build_row(
        Gateway,
        organization_id=member.organization_id,
        allows_private=await may_be_private(session, connector, member.organization_id),
        version=1,
        **values,
    )
    gateway.encrypted_token = connector.encrypt(gateway.id, "token", token)
    gateway.encrypted_device = connector.new_device(gateway.id)
    session.add(gateway)
    await rows.flush(session, UNIQUE_ERRORS)
    agent = await agents.create_gateway_agent(session, gateway)
    await events.record_events(
        session,
        [
            _gateway_event(EventType.GATEWAY_CREATED, member, gateway),
            agents.agent_event(EventType.AGENT_CREATED, member.user, None, agent),
        ],
    )
    await wake_workers(session, GATEWAYS_TOPIC)
    return gateway


async def update_gateway(
    session: AsyncSession,
    member: Member,
    connector: GatewayConnector,
    gateway_id: UUID,
    fields: GatewayUpdate,
) -> Gateway:
    """Change the given fields of a gateway. Without a difference nothing is recorded.

    Another host, port or TLS verification needs the token again: see `check_token_is_given`. If
    the connection changes, the check results are deleted and the gateway's agents are
    synchronized. Raises NotFound, Forbidden, Invalid and Conflict.
    """
    gateway = await lock_gateway(session, member, gateway_id)
    given = fields.changes()
    new = _changed_attributes(gateway, connector, given)
    if not new:
        return gateway
    await _check_is_free(session, gateway.organization_id, new, except_id=gateway.id)
    if "name" in new:
        await agents.rename_gateway_agent(session, gateway, new["name"])
    check_token_is_given(gateway, new, given)
    audited = new.keys() & GatewayUpdate.model_fields.keys()
    changed = sorted(audited | ({"token"} if "encrypted_token" in new else set()))
    new |= await load_address_changes(session, connector, gateway, new)
    changes_connection = not CONNECTION_FIELDS.isdisjoint(changed)
    if changes_connection:
        new |= {"checks": None, "checked_at": None}
    if "url" in new:
        new |= {"capabilities": None}  # another gateway can be there
    before = {name: get_audited_value(name, getattr(gateway, name)) for name in audited}
    for name, value in new.items():
        setattr(gateway, name, value)
    gateway.version += 1
    gateway.updated_at = now()
    await rows.flush(session, UNIQUE_ERRORS)
    if changes_connection:
        await desired_state.request_sync(session, Agent.gateway_id == gateway.id)
    event = _gateway_event(EventType.GATEWAY_UPDATED, member, gateway, changed=changed)
    after = {name: get_audited_value(name, new[name]) for name in audited}
    await events.record_events(session, [replace(event, before=before, after=after)])
    await wake_workers(session, GATEWAYS_TOPIC)
    return gateway


def _changed_attributes(
    gateway: Gateway, connector: GatewayConnector, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes that change, with their new values.

    If the stored secrets cannot be decrypted, a new token comes with a new device: the gateway
    could not be connected otherwise.
    """
    new = {
        name: value
        for name, value in given.items()
        if name != "token" and value != getattr(gateway, name)
    }
    if "token" not in given:
        return new
    try:
        if connector.decrypt_secrets(gateway).token == given["token"]:
            return new
    except Conflict:
        new |= {
            "encrypted_device": connector.new_device(gateway.id),
            "encrypted_device_token": None,
        }
    return new | {"encrypted_token": connector.encrypt(gateway.id, "token", given["token"])}


async def _check_is_free(
    session: AsyncSession,
    organization_id: UUID,
    new: Mapping[str, Any],
    *,
    except_id: UUID | None = None,
) -> None:
    """Raise Conflict for a name or address that another gateway of the organization has."""
    if "name" in new:
        same_name = select(Gateway.id).where(
            Gateway.organization_id == organization_id,
            func.lower(Gateway.name) == func.lower(new["name"]),
        )
        if any(id != except_id for id in await session.scalars(same_name)):
            raise _name_conflict()
    if "url" in new:
        await check_address_is_free(session, organization_id, new["url"], except_id=except_id)


async def delete_gateway(session: AsyncSession, member: Member, gateway_id: UUID) -> None:
    """Delete a gateway, the agent that manages it, and the agents that are being removed from it.

    What they have on the gateway is removed later: see `run_cleanup`. Raises NotFound, Forbidden,
    and Conflict while boards or their agents use the gateway.
    """
    gateway = await lock_gateway(session, member, gateway_id, to_delete=True)
    usage = select(
        select(func.count()).where(Board.gateway_id == gateway.id).scalar_subquery(),
        exists().where(
            Agent.gateway_id == gateway.id,
            Agent.board_id.is_not(None),
            desired_state.IS_NOT_BEING_REMOVED,
        ),
    )
    boards, has_agents = (await session.execute(usage)).one()
    if boards:
        reason = N_("Boards are on this gateway: give them another one, or none, first.")
        raise Conflict("gateway_in_use", reason, boards=boards)
    if has_agents:
        reason = N_("Agents are on this gateway: unlink or delete them first.")
        raise Conflict("gateway_in_use", reason, boards=boards)
    await session.execute(desired_state.build_cleanup_insert(Gateway.id == gateway.id))
    agent_events = await agents.delete_gateway_agent(session, member.user, gateway.id)
    await session.delete(gateway)
    await session.flush()
    deleted = _gateway_event(EventType.GATEWAY_DELETED, member, gateway)
    await events.record_events(session, [deleted, *agent_events])
    await wake_workers(session, GATEWAYS_TOPIC)


def _gateway_event(
    type: EventType, member: Member, gateway: Gateway, **more: object
) -> events.NewEvent:
    data = {"gateway_id": str(gateway.id), "name": gateway.name, **more}
    return events.NewEvent(type, member.user, organization_id=gateway.organization_id, data=data)


async def acquire_leases(
    session: AsyncSession, holder: str, duration: timedelta
) -> tuple[Sequence[Gateway], float | None]:
    """Acquire or renew the lease of every gateway that no other process holds.

    Returns these gateways, and the seconds until the first lease of another process ends. A lease
    ends by itself, so that another process takes over when its holder has crashed; the clock is
    that of the database, because those of machines differ. Of two processes at the same time, one
    gets a lease. The row locks do not wait for transactions that insert rows referring to a
    gateway, for example runs: leases would expire meanwhile.
    """
    parameters = {"holder": holder, "duration": duration}
    rows = (await session.execute(_build_lease_query(), parameters)).all()
    end = rows[0][1]
    return [one for one, _ in rows if one is not None], None if end is None else float(end)


@cache
def _build_lease_query() -> Select[Gateway, Any]:
    """Build the statement for `holder` and `duration`, once: statements with aliases are cycles."""
    holder: Any = bindparam("holder", type_=String())
    is_free = or_(
        Gateway.lease_holder == holder,
        Gateway.lease_expires_at.is_(None),
        Gateway.lease_expires_at < func.now(),
    )
    ids = select(Gateway.id).where(is_free).order_by(Gateway.id)
    is_locked = Gateway.id.in_(ids.with_for_update(key_share=True))
    update_leases = update(Gateway).where(is_locked)
    update_leases = update_leases.values(
        lease_holder=holder,
        lease_expires_at=func.now() + bindparam("duration", type_=Interval()),
    )
    leased = aliased(Gateway, update_leases.returning(Gateway).cte("leased"))
    first_end = select(func.min(Gateway.lease_expires_at)).where(
        Gateway.lease_holder != holder, Gateway.lease_expires_at >= func.now()
    )
    free_in = func.extract("epoch", first_end.scalar_subquery() - func.now())
    always = select(literal(1)).subquery("always")
    return select(leased, free_in).select_from(always).outerjoin(leased, true())


async def release_leases(session: AsyncSession, holder: str) -> None:
    """Release all leases of a process."""
    held = update(Gateway).where(Gateway.lease_holder == holder)
    await session.execute(held.values(lease_holder=None, lease_expires_at=None))
