"""Gateways come, change and go. None of it asks the network: looking is another thing (W-46)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict
from kit.values import checked
from models import Agent, Board, EventType, Gateway, Member, new_id
from services import agents, events, organizations, provisioning
from services.gateways.carrier import Carrier
from services.gateways.fields import CHECKS, GatewayDraft
from services.gateways.finding import hold

REACHED_BY = frozenset({"url", "token", "allow_insecure_tls", "disable_device_pairing"})
"""What decides whether a gateway is reached: with any of it, what was seen before is old."""

FIELD_OF = {"sealed_token": "token"}
"""The field that a column is called by, where that is not its name."""


async def create(
    session: AsyncSession, member: Member, carrier: Carrier, draft: GatewayDraft
) -> Gateway:
    """Add a gateway to the member's organization, with the agent that will look after it.

    Raises Forbidden unless the member is an admin, Invalid with the field, and Conflict for a name
    that another gateway has.
    """
    organizations.require_admin(member)
    fields = checked(CHECKS, vars(draft))
    await _name_is_free(session, member.organization_id, fields["name"])
    at, id = now(), new_id()
    gateway = Gateway(
        id=id,
        organization_id=member.organization_id,
        sealed_token=carrier.seal(id, "token", fields.pop("token")),
        sealed_device=carrier.new_device(id),
        version=1,
        created_at=at,
        updated_at=at,
        **fields,
    )
    session.add(gateway)
    await _write(session)
    main = await agents.add_main(session, gateway)
    await events.record_all(
        session,
        [
            _happened(EventType.GATEWAY_CREATED, member, gateway),
            agents.happened(EventType.AGENT_CREATED, member.user, None, main),
        ],
    )
    return gateway


async def change(
    session: AsyncSession,
    member: Member,
    carrier: Carrier,
    gateway_id: UUID,
    changes: Mapping[str, object],
) -> Gateway:
    """Change a gateway; only the fields that are given count.

    A change of nothing is not recorded. What was seen of it before is forgotten when it is now
    reached in another way. Raises NotFound, Forbidden, Invalid and Conflict.
    """
    gateway = await hold(session, member, gateway_id)
    given = checked(CHECKS, changes)
    new = _differences(gateway, carrier, given)
    if not new:
        return gateway
    if "name" in new:
        await _name_is_free(session, gateway.organization_id, new["name"], besides=gateway.id)
        await agents.rename_main(session, gateway, new["name"])
    changed = sorted({FIELD_OF.get(column, column) for column in new} & CHECKS.keys())
    if REACHED_BY & set(changed):
        new |= {"checks": None, "checked_at": None}
    for column, value in new.items():
        setattr(gateway, column, value)
    gateway.version += 1
    gateway.updated_at = now()
    await _write(session)
    if REACHED_BY & set(changed):
        await provisioning.ask(session, Agent.gateway_id == gateway.id)
    happened = _happened(EventType.GATEWAY_UPDATED, member, gateway, changed=changed)
    await events.record_all(session, [happened])
    return gateway


async def delete(session: AsyncSession, member: Member, gateway_id: UUID) -> None:
    """Remove a gateway, with the agent that looks after it and those that were to go from it.

    What it has of ours is removed there afterwards: see `take_leave`. Raises NotFound, Forbidden,
    and Conflict as long as boards or their agents are on it.
    """
    gateway = await hold(session, member, gateway_id, to_delete=True)
    await _check_serves_nobody(session, gateway)
    await session.execute(provisioning.departing(Gateway.id == gateway.id))
    gone = await agents.remove_main(session, gateway.id)
    await session.delete(gateway)
    await session.flush()
    happened = [_happened(EventType.GATEWAY_DELETED, member, gateway)]
    happened += [agents.happened(EventType.AGENT_DELETED, member.user, None, main) for main in gone]
    await events.record_all(session, happened)


def _differences(gateway: Gateway, carrier: Carrier, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be other than it is, as columns.

    A token for a gateway whose secrets cannot be opened any more gives it a new device as well:
    without that, nobody could ever reach it again.
    """
    new = {name: value for name, value in given.items() if name != "token"}
    new = {name: value for name, value in new.items() if value != getattr(gateway, name)}
    if "token" not in given:
        return new
    if not carrier.can_open(gateway):
        new |= {"sealed_device": carrier.new_device(gateway.id), "sealed_device_token": None}
    elif carrier.opened(gateway).token == (given["token"] or ""):
        return new
    return new | {"sealed_token": carrier.seal(gateway.id, "token", given["token"])}


async def _name_is_free(
    session: AsyncSession, organization_id: UUID, name: str, *, besides: UUID | None = None
) -> None:
    """Raise Conflict for a name that another gateway of the organization has."""
    same = select(Gateway.id).where(
        Gateway.organization_id == organization_id, func.lower(Gateway.name) == func.lower(name)
    )
    if any(id != besides for id in await session.scalars(same)):
        raise _name_taken()


async def _write(session: AsyncSession) -> None:
    """Write what was changed. Who was quicker with the same name has it."""
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_gateways_organization_id_name" not in str(error.orig):
            raise
        raise _name_taken() from error


def _name_taken() -> Conflict:
    return Conflict("gateway_name_taken", "Another gateway has that name.", field="name")


async def _check_serves_nobody(session: AsyncSession, gateway: Gateway) -> None:
    """Raise Conflict as long as a gateway is in use."""
    served = select(
        select(func.count()).where(Board.gateway_id == gateway.id).scalar_subquery(),
        exists().where(
            Agent.gateway_id == gateway.id, Agent.board_id.is_not(None), provisioning.STAYS
        ),
    )
    boards, has_agents = (await session.execute(served)).one()
    if boards or has_agents:
        reason = "Boards are on this gateway: give them another one, or none, first."
        if not boards:
            reason = "Agents are on this gateway: unlink or delete them first."
        raise Conflict("gateway_in_use", reason, boards=boards)


def _happened(type: EventType, member: Member, gateway: Gateway, **more: object) -> events.Happened:
    data = {"gateway_id": str(gateway.id), "name": gateway.name, **more}
    return events.Happened(type, member.user, organization_id=gateway.organization_id, data=data)
