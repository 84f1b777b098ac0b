"""Commands on gateways, and the leases of the processes that connect to them.

Nothing here uses the network: probes are separate (W-46).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

import openclaw
from core.clock import now
from core.errors import Conflict, Invalid
from core.text import N_
from core.validation import (
    MAX_NAME_LENGTH,
    FieldCheck,
    boolean_value,
    nonblank_text,
    optional,
    trimmed_text,
    validate_fields,
)
from models import Agent, Board, EventType, Gateway, Member, new_id
from services import agents, desired_state, events, organizations
from services.gateways.address_rules import (
    check_address_is_free,
    check_token_is_given,
    load_address_changes,
    may_be_private,
)
from services.gateways.ca_certificates import check_ca_certificates, get_audited_value
from services.gateways.connector import GatewayConnector
from services.gateways.queries import lock_gateway

CONNECTION_FIELDS = frozenset(
    {"url", "token", "allow_insecure_tls", "ca_certificates", "disable_device_pairing"}
)
"""The fields that affect the connection: after a change the check results are outdated."""

FIELD_OF_ATTRIBUTE = {"encrypted_token": "token"}
"""The API field of an attribute, where the names differ."""


async def update_gateway(
    session: AsyncSession,
    member: Member,
    connector: GatewayConnector,
    gateway_id: UUID,
    changes: Mapping[str, object],
) -> Gateway:
    """Change the given fields of a gateway. Without a difference nothing is recorded.

    Another host, port or TLS verification needs the token again: see `check_token_is_given`. If
    the connection changes, the check results are deleted and the gateway's agents are
    synchronized. Raises NotFound, Forbidden, Invalid and Conflict.
    """
    gateway = await lock_gateway(session, member, gateway_id)
    given = validate_fields(FIELD_CHECKS, changes)
    new = _changed_attributes(gateway, connector, given)
    if not new:
        return gateway
    await _check_is_free(session, gateway.organization_id, new, except_id=gateway.id)
    if "name" in new:
        await agents.rename_gateway_agent(session, gateway, new["name"])
    check_token_is_given(gateway, new, given)
    new |= await load_address_changes(session, connector, gateway, new)
    changed = sorted({FIELD_OF_ATTRIBUTE.get(name, name) for name in new} & FIELD_CHECKS.keys())
    if CONNECTION_FIELDS & set(changed):
        new |= {"checks": None, "checked_at": None}
    if "url" in new:
        new |= {"capabilities": None}  # another gateway can be there
    audited = new.keys() & FIELD_CHECKS.keys()
    before = {name: get_audited_value(name, getattr(gateway, name)) for name in audited}
    for name, value in new.items():
        setattr(gateway, name, value)
    gateway.version += 1
    gateway.updated_at = now()
    await _flush(session)
    if CONNECTION_FIELDS & set(changed):
        await desired_state.request_sync(session, Agent.gateway_id == gateway.id)
    event = _gateway_event(EventType.GATEWAY_UPDATED, member, gateway, changed=changed)
    after = {name: get_audited_value(name, new[name]) for name in audited}
    await events.record_events(session, [replace(event, before=before, after=after)])
    return gateway


async def delete_gateway(session: AsyncSession, member: Member, gateway_id: UUID) -> None:
    """Delete a gateway, the agent that manages it, and the agents that are being removed from it.

    What they have on the gateway is removed later: see `run_cleanup`. Raises NotFound, Forbidden,
    and Conflict while boards or their agents use the gateway.
    """
    gateway = await lock_gateway(session, member, gateway_id, to_delete=True)
    await _check_not_in_use(session, gateway)
    await session.execute(desired_state.build_cleanup_insert(Gateway.id == gateway.id))
    deleted = await agents.delete_gateway_agent(session, gateway.id)
    await session.delete(gateway)
    await session.flush()
    new_events = [_gateway_event(EventType.GATEWAY_DELETED, member, gateway)]
    new_events += [
        agents.agent_event(EventType.AGENT_DELETED, member.user, None, agent) for agent in deleted
    ]
    await events.record_events(session, new_events)


def _changed_attributes(
    gateway: Gateway, connector: GatewayConnector, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes that change, with their new values.

    If the stored secrets cannot be decrypted, a new token comes with a new device: the gateway
    could not be connected otherwise.
    """
    new = {name: value for name, value in given.items() if name != "token"}
    new = {name: value for name, value in new.items() if value != getattr(gateway, name)}
    if "token" not in given:
        return new
    if not connector.can_decrypt(gateway):
        new |= {
            "encrypted_device": connector.new_device(gateway.id),
            "encrypted_device_token": None,
        }
    elif connector.decrypt_secrets(gateway).token == (given["token"] or ""):
        return new
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


async def _flush(session: AsyncSession) -> None:
    """Flush the changes. Raises Conflict if another transaction took the same name."""
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_gateways_organization_id_name" not in str(error.orig):
            raise
        raise _name_conflict() from error


def _name_conflict() -> Conflict:
    return Conflict("gateway_name_taken", N_("Another gateway has that name."), field="name")


async def _check_not_in_use(session: AsyncSession, gateway: Gateway) -> None:
    """Raise Conflict while boards or their agents use a gateway."""
    usage = select(
        select(func.count()).where(Board.gateway_id == gateway.id).scalar_subquery(),
        exists().where(
            Agent.gateway_id == gateway.id,
            Agent.board_id.is_not(None),
            desired_state.IS_NOT_BEING_REMOVED,
        ),
    )
    boards, has_agents = (await session.execute(usage)).one()
    if boards or has_agents:
        reason = "Boards are on this gateway: give them another one, or none, first."
        if not boards:
            reason = "Agents are on this gateway: unlink or delete them first."
        cause = "boards" if boards else "agents"
        raise Conflict("gateway_in_use", reason, boards=boards, cause=cause)


def _gateway_event(
    type: EventType, member: Member, gateway: Gateway, **more: object
) -> events.NewEvent:
    data = {"gateway_id": str(gateway.id), "name": gateway.name, **more}
    return events.NewEvent(type, member.user, organization_id=gateway.organization_id, data=data)


MAX_PATH_LENGTH = 1_000
MAX_TOKEN_LENGTH = 4_000
TOKEN_CONFIG_LINE = re.compile(r"""["']?token["']?\s*:\s*(["'])(?P<token>.*)\1\s*,?""")
"""The config line that `grep token` prints: users paste it as a whole."""

_name = nonblank_text(MAX_NAME_LENGTH)
_path = nonblank_text(MAX_PATH_LENGTH)
_url = nonblank_text(openclaw.MAX_URL_LENGTH)
_token = optional(trimmed_text(MAX_TOKEN_LENGTH))


@dataclass(frozen=True, kw_only=True)
class GatewayDraft:
    """The fields of a new gateway."""

    name: str
    url: str
    workspace_root: str
    token: str | None = None
    allow_insecure_tls: bool = False
    ca_certificates: str | None = None
    disable_device_pairing: bool = False


async def create_gateway(
    session: AsyncSession, member: Member, connector: GatewayConnector, draft: GatewayDraft
) -> Gateway:
    """Create a gateway in the member's organization, and the agent that manages it.

    Raises Forbidden unless the member is an admin, Invalid with the field, and Conflict for a name
    that another gateway has.
    """
    organizations.require_admin(member)
    fields = validate_fields(FIELD_CHECKS, vars(draft))
    await _check_is_free(session, member.organization_id, fields)
    at, id = now(), new_id()
    gateway = Gateway(
        id=id,
        organization_id=member.organization_id,
        encrypted_token=connector.encrypt(id, "token", fields.pop("token")),
        encrypted_device=connector.new_device(id),
        allows_private=await may_be_private(session, connector, member.organization_id),
        version=1,
        created_at=at,
        updated_at=at,
        **fields,
    )
    session.add(gateway)
    await _flush(session)
    agent = await agents.create_gateway_agent(session, gateway)
    await events.record_events(
        session,
        [
            _gateway_event(EventType.GATEWAY_CREATED, member, gateway),
            agents.agent_event(EventType.AGENT_CREATED, member.user, None, agent),
        ],
    )
    return gateway


def check_name(value: object, field: str) -> str:
    """Validate a name: one line, trimmed."""
    return _check_single_line(_name(value, field), field)


def check_path(value: object, field: str) -> str:
    """Validate the folder on the gateway's machine that contains the agents' workspaces."""
    return _check_single_line(_path(value, field), field)


def check_url(value: object, field: str) -> str:
    """Validate an address: ws or wss, a host, and no secrets. The host is not resolved."""
    text: str = _url(value, field)
    try:
        openclaw.parse_address(text)
    except openclaw.GatewayError as error:
        cause = error.details["cause"]
        raise Invalid("url_invalid", error.message, field=field, cause=cause) from None
    return text


def check_token(value: object, field: str) -> str | None:
    """Validate a token; a blank one becomes None. From a config line only the token is used."""
    text = _token(value, field) or ""
    line = TOKEN_CONFIG_LINE.fullmatch(text)
    return _check_single_line(line["token"].strip() if line else text, field) or None


FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "name": check_name,
    "url": check_url,
    "workspace_root": check_path,
    "token": check_token,
    "allow_insecure_tls": boolean_value,
    "ca_certificates": check_ca_certificates,
    "disable_device_pairing": boolean_value,
}
"""The writable fields of a gateway with their validation functions."""


def _check_single_line(text: str, field: str) -> str:
    if not text.isprintable():
        raise Invalid("bad_character", "This is one line of letters and signs.", field=field)
    return text


async def acquire_leases(
    session: AsyncSession, holder: str, duration: timedelta
) -> Sequence[Gateway]:
    """Acquire or renew the lease of every gateway that no other process holds; return these.

    A lease ends by itself, so that another process takes over when its holder has crashed. Of two
    processes at the same time, one gets a lease. The row locks do not wait for transactions
    that insert rows referring to a gateway, for example runs: leases would expire meanwhile.
    """
    at = now()
    is_free = or_(
        Gateway.lease_holder == holder,
        Gateway.lease_expires_at.is_(None),
        Gateway.lease_expires_at < at,
    )
    ids = select(Gateway.id).where(is_free).order_by(Gateway.id)
    is_locked = Gateway.id.in_(ids.with_for_update(key_share=True))
    leased = update(Gateway).where(is_locked)
    leased = leased.values(lease_holder=holder, lease_expires_at=at + duration)
    fresh = leased.returning(Gateway).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).all()


async def release_leases(session: AsyncSession, holder: str) -> None:
    """Release all leases of a process."""
    held = update(Gateway).where(Gateway.lease_holder == holder)
    await session.execute(held.values(lease_holder=None, lease_expires_at=None))
