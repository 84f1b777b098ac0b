"""Writing down what gateways tell of requests, and what time alone brings about."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import (
    Agent,
    EventType,
    Gateway,
    GatewayRequest,
    RequestKind,
    RequestState,
    new_id,
)
from services import events
from services.gateway_requests.facts import OF_STATE, happened
from services.gateway_requests.reading import Asked
from services.gateway_requests.rules import OPEN, Fate, meet

GRACE = timedelta(minutes=1)  # for which we believe that a gateway's clock may differ from ours
BATCH = 500  # requests that expire in one transaction


async def write_down(session: AsyncSession, gateway: Gateway, asked: Sequence[Asked]) -> None:
    """Write down what a gateway asks. What is known already, is known."""
    if not asked:
        return
    agents = await _agents(session, gateway, {one.agent_key for one in asked if one.agent_key})
    rows = [_row(gateway, one, agents.get(one.agent_key or "")) for one in asked]
    statement = insert(GatewayRequest).values(rows)
    fresh = statement.on_conflict_do_nothing(index_elements=["gateway_id", "request_id"])
    written = (await session.scalars(fresh.returning(GatewayRequest))).all()
    await events.record_all(
        session, [_fact(EventType.GATEWAY_REQUEST_ASKED, one, agents) for one in written]
    )


async def waiting(
    session: AsyncSession, gateway_id: UUID, kind: RequestKind, besides: Collection[str]
) -> Sequence[str]:
    """Return which requests we think to wait, of a kind, besides those that really do."""
    query = select(GatewayRequest.request_id).where(
        GatewayRequest.gateway_id == gateway_id,
        GatewayRequest.kind == kind,
        GatewayRequest.state == RequestState.WAITING,
        GatewayRequest.request_id.not_in(besides),
    )
    return (await session.scalars(query.order_by(GatewayRequest.created_at))).all()


async def to_deliver(session: AsyncSession, gateway_id: UUID) -> Sequence[GatewayRequest]:
    """Return the requests of which a gateway has to be told the answer, oldest answer first."""
    query = select(GatewayRequest).where(
        GatewayRequest.gateway_id == gateway_id, GatewayRequest.state == RequestState.ANSWERING
    )
    return (await session.scalars(query.order_by(GatewayRequest.answered_at))).all()


async def settle(session: AsyncSession, gateway: Gateway, request_id: str, fate: Fate) -> None:
    """Note what has become of a request that is still open here."""
    mine = GatewayRequest.gateway_id == gateway.id
    await _end(session, mine & (GatewayRequest.request_id == request_id), fate)


async def refuse(session: AsyncSession, request: GatewayRequest, error: str) -> None:
    """Note that a gateway does not take the answer to a request, and why."""
    held = await _held(session, GatewayRequest.id == request.id)
    for one in held:
        one.state, one.error, one.ended_at = RequestState.LOST, error, now()
    await _record(session, held)


async def expire(session: AsyncSession) -> int:
    """Let those requests expire that nobody has answered in time, and say how many they were.

    An answer that has not reached its gateway in time never will. It may run as often as one
    likes, and in several workers at once.
    """
    return await _end(session, GatewayRequest.expires_at < now() - GRACE, Fate(is_expired=True))


async def _end(session: AsyncSession, which: ColumnElement[bool], fate: Fate) -> int:
    held = await _held(session, which)
    for one in held:
        meet(one, fate, now())
    await _record(session, held)
    return len(held)


async def _held(session: AsyncSession, which: ColumnElement[bool]) -> Sequence[GatewayRequest]:
    """Return the open requests among some, which nobody else can change until the commit."""
    query = select(GatewayRequest).where(which, GatewayRequest.state.in_(OPEN))
    query = query.order_by(GatewayRequest.id).limit(BATCH).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def _record(session: AsyncSession, ended: Iterable[GatewayRequest]) -> None:
    ended = list(ended)
    ids = {one.agent_id for one in ended if one.agent_id}
    query = select(Agent).where(Agent.id.in_(ids))
    agents = {str(agent.id): agent for agent in await session.scalars(query)} if ids else {}
    facts = [_fact(OF_STATE[one.state], one, agents) for one in ended]
    facts.sort(key=lambda fact: str(fact.organization_id))
    await events.record_all(session, facts)


def _fact(type: EventType, request: GatewayRequest, agents: Mapping[str, Agent]) -> events.Happened:
    agent = agents.get(str(request.agent_id)) or agents.get(request.agent_key or "")
    name = agent.name if agent else request.agent_key or "An agent"
    return happened(type, None, request, name)


async def _agents(
    session: AsyncSession, gateway: Gateway, keys: Collection[str]
) -> dict[str, Agent]:
    """Return those of our agents on a gateway that it knows by these names."""
    name = func.split_part(Agent.openclaw_session_id, ":", 2)
    query = select(Agent).where(Agent.gateway_id == gateway.id, name.in_(keys))
    found = await session.scalars(query.order_by(Agent.created_at.desc()))
    return {(agent.openclaw_session_id or "").split(":")[1]: agent for agent in found}


def _row(gateway: Gateway, asked: Asked, agent: Agent | None) -> dict[str, Any]:
    return {
        **vars(asked),
        "id": new_id(),
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "gateway_name": gateway.name,
        "agent_id": agent.id if agent else None,
        "board_id": agent.board_id if agent else None,
        "state": RequestState.WAITING,
        "allowed_decisions": list(asked.allowed_decisions),
        "created_at": now(),
    }
