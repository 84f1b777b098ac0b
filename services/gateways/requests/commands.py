"""Commands on requests, and their events: store, answer, resolve, expire."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    DECISION_KINDS,
    Actor,
    Agent,
    EventType,
    Gateway,
    GatewayRequest,
    RequestState,
    User,
    new_id,
)
from services import boards, events, gateways
from services.gateways.requests.parser import ParsedRequest
from services.gateways.requests.queries import SHORT_HASH_LENGTH, RequestDetail, get_request
from services.gateways.requests.rules import (
    OPEN_STATES,
    UNSHOWN_ERROR,
    GatewayAnswer,
    Resolution,
    apply_resolution,
    is_answered_unseen,
    require_repeated_answer,
    validate_answer,
)

CLOCK_TOLERANCE = timedelta(minutes=1)  # the clock of a gateway may differ this much from ours
BATCH_SIZE = 500  # requests that expire in one transaction

REPLACED_ERROR = "The gateway now uses the same id for another request."

EVENT_OF_STATE = {
    RequestState.ANSWERING: EventType.GATEWAY_REQUEST_ANSWERED,
    RequestState.ANSWERED: EventType.GATEWAY_REQUEST_DELIVERED,
    RequestState.LOST: EventType.GATEWAY_REQUEST_LOST,
    RequestState.EXPIRED: EventType.GATEWAY_REQUEST_EXPIRED,
    RequestState.CANCELLED: EventType.GATEWAY_REQUEST_CANCELLED,
}
"""The event that a request's change to a state records."""

ANSWER_WORDS = {"allow-once": "allowed once", "allow-always": "allowed always", "deny": "denied"}
KIND_WORDS = {
    "exec": "permission to run a command",
    "question": "an answer",
    "plugin": "permission for an action of a plugin",
}


async def answer_request(
    session: AsyncSession, user: User, request_id: UUID, answer: GatewayAnswer
) -> RequestDetail:
    """Answer a request. The first answer counts, and cannot be withdrawn.

    The same answer of the same user again changes nothing. Raises NotFound and Forbidden, Invalid
    for an answer that the gateway would not accept, and Conflict if the request was answered
    before, has ended, or differs from what the user has seen.
    """
    seen = await get_request(session, user, request_id)
    await boards.block_board_deletions(session, [seen.request.board_id])
    detail = await get_request(session, user, request_id, lock=True)
    request = detail.request
    valid_answer = validate_answer(request, answer)
    if not detail.is_waiting:
        require_repeated_answer(request, user, valid_answer)
        return detail
    request.state = RequestState.ANSWERING
    request.error = None
    request.answer = valid_answer
    request.answered_by_user_id = user.id
    request.answered_by = user.display_name
    request.answered_at = now()
    event = request_event(EventType.GATEWAY_REQUEST_ANSWERED, user, request, detail.asked_by)
    await events.record_events(session, [event])
    return detail


async def store_requests(
    session: AsyncSession, gateway: Gateway, requests: Sequence[ParsedRequest]
) -> None:
    """Store the requests of a gateway that are not stored, and record events."""
    keys = {one.agent_key for one in requests if one.agent_key}
    is_asking = (Agent.gateway_id == gateway.id) & Agent.gateway_key.in_(keys)
    found = await session.scalars(gateways.build_kept_agents_query(gateway.id, is_asking))
    latest_first = sorted(found, key=lambda one: one.created_at, reverse=True)
    agents = {agent.gateway_key or "": agent for agent in latest_first}
    kept, asked_again = await _complete_earlier_requests(session, gateway, requests)
    rest = [one for one in requests if one.request_id not in kept]
    if not rest:
        return
    rows = [
        _request_row(gateway, one, agents.get(one.agent_key or ""))
        | {"error": UNSHOWN_ERROR if one.request_id in asked_again else None}
        for one in rest
    ]
    statement = insert(GatewayRequest).values(rows)
    new = statement.on_conflict_do_nothing(index_elements=["gateway_id", "request_id", "sha256"])
    stored = (await session.scalars(new.returning(GatewayRequest))).all()
    await _end_replaced_requests(session, gateway, stored)
    await events.record_events(
        session, [_event_of(EventType.GATEWAY_REQUEST_ASKED, one, agents) for one in stored]
    )


async def _complete_earlier_requests(
    session: AsyncSession, gateway: Gateway, requests: Sequence[ParsedRequest]
) -> tuple[set[str], set[str]]:
    """Recognize approvals that were stored without content, and complete those that wait.

    Return the ids of those that stay as they are stored, and of those that are asked again: they
    were allowed before everything was shown, and the gateway has not received that.
    """
    query = select(GatewayRequest).where(
        GatewayRequest.gateway_id == gateway.id,
        GatewayRequest.request_id.in_([one.request_id for one in requests]),
        GatewayRequest.kind.in_(DECISION_KINDS),
        GatewayRequest.content.is_(None),
    )
    query = query.order_by(GatewayRequest.id).with_for_update()
    rows = await session.scalars(query.execution_options(populate_existing=True))
    sent = {one.request_id: one for one in requests}
    kept, asked_again = set[str](), set[str]()
    for row in rows:
        one = sent[row.request_id]
        if not one.hash.is_of(row):
            continue
        is_undelivered = row.state in (RequestState.ANSWERING, RequestState.LOST)
        is_asked_again = is_undelivered and is_answered_unseen(row, one.hash)
        (asked_again if is_asked_again else kept).add(row.request_id)
        if row.state is RequestState.WAITING:
            row.content, row.sha256, row.is_masked = one.content, one.hash.sha256, one.is_masked
    await session.flush()
    return kept, asked_again


async def _end_replaced_requests(
    session: AsyncSession, gateway: Gateway, stored: Sequence[GatewayRequest]
) -> None:
    """End the open requests whose ids the gateway uses again for another content."""
    if not stored:
        return
    is_replaced = or_(
        *(
            (GatewayRequest.request_id == one.request_id) & (GatewayRequest.id != one.id)
            for one in stored
        )
    )
    is_here = GatewayRequest.gateway_id == gateway.id
    locked = await _lock_open_requests(session, is_here & is_replaced)
    asked_again = {one.request_id for one in stored if one.error == UNSHOWN_ERROR}
    for one in locked:
        error = UNSHOWN_ERROR if one.request_id in asked_again else REPLACED_ERROR
        one.state, one.error, one.ended_at = RequestState.LOST, error, now()
    await _record_ends(session, locked)


async def resolve_request(
    session: AsyncSession, gateway: Gateway, request_id: str, resolution: Resolution
) -> None:
    """Apply the gateway's resolution to a request, if it is open."""
    is_it = (GatewayRequest.gateway_id == gateway.id) & (GatewayRequest.request_id == request_id)
    await _resolve_open_requests(session, is_it, resolution)


async def record_rejected_answer(
    session: AsyncSession, request: GatewayRequest, error: str
) -> None:
    """Record that a gateway does not accept the answer to a request, and why."""
    locked = await _lock_open_requests(session, GatewayRequest.id == request.id)
    for one in locked:
        one.state, one.error, one.ended_at = RequestState.LOST, error, now()
    await _record_ends(session, locked)


async def expire_requests(session: AsyncSession) -> int:
    """Expire the requests whose time is over, and return their number.

    That includes requests whose answers have not reached the gateway in time. Any number of workers
    may call it, at any time.
    """
    is_expired = is_expired_condition(now())
    return await _resolve_open_requests(session, is_expired, Resolution(is_expired=True))


def is_expired_condition(at: Any) -> ColumnElement[bool]:
    """Select the open requests whose time is over at a time, given as a value or expression."""
    is_over = GatewayRequest.expires_at < at - CLOCK_TOLERANCE
    return is_over & GatewayRequest.state.in_(OPEN_STATES)


async def _resolve_open_requests(
    session: AsyncSession, where: ColumnElement[bool], resolution: Resolution
) -> int:
    locked = await _lock_open_requests(session, where)
    for one in locked:
        apply_resolution(one, resolution, now())
    await _record_ends(session, locked)
    return len(locked)


async def _lock_open_requests(
    session: AsyncSession, where: ColumnElement[bool]
) -> Sequence[GatewayRequest]:
    """Return a batch of open requests, locked until the end of the transaction.

    Those on boards that are being deleted are left out. The other boards are kept.
    """
    is_open = where & GatewayRequest.state.in_(OPEN_STATES)
    board_ids = (await session.scalars(select(GatewayRequest.board_id).where(is_open))).all()
    if not board_ids:
        return ()
    kept = await boards.block_board_deletions(session, board_ids)
    is_kept = GatewayRequest.board_id.is_(None) | GatewayRequest.board_id.in_(kept)
    query = select(GatewayRequest).where(is_open, is_kept)
    query = query.order_by(GatewayRequest.id).limit(BATCH_SIZE).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def _record_ends(session: AsyncSession, ended: Sequence[GatewayRequest]) -> None:
    ids = {one.agent_id for one in ended if one.agent_id}
    query = select(Agent).where(Agent.id.in_(ids))
    agents = {str(agent.id): agent for agent in await session.scalars(query)} if ids else {}
    new_events = [_event_of(EVENT_OF_STATE[one.state], one, agents) for one in ended]
    new_events.sort(key=lambda event: str(event.organization_id))
    await events.record_events(session, new_events)


def _event_of(
    type: EventType, request: GatewayRequest, agents: Mapping[str, Agent]
) -> events.NewEvent:
    agent = agents.get(str(request.agent_id)) or agents.get(request.agent_key or "")
    name = agent.name if agent else request.agent_key or "An agent"
    return request_event(type, None, request, name)


def _request_row(gateway: Gateway, request: ParsedRequest, agent: Agent | None) -> dict[str, Any]:
    return {
        **request.columns,
        "id": new_id(),
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "gateway_name": gateway.name,
        "agent_id": agent.id if agent else None,
        "board_id": agent.board_id if agent else None,
        "state": RequestState.WAITING,
        "allowed_decisions": list(request.allowed_decisions),
        "created_at": now(),
    }


def request_event(
    type: EventType, actor: Actor | None, request: GatewayRequest, name: str
) -> events.NewEvent:
    """Build an event. It has the command's hash only: readers of a board may not see commands."""
    return events.NewEvent(
        type,
        actor,
        organization_id=request.organization_id,
        board=request.board_id,
        subject=request.agent_id,
        data={
            "request_id": str(request.id),
            "gateway_id": str(request.gateway_id) if request.gateway_id else None,
            "kind": request.kind.value,
            "name": name,
            "asked": KIND_WORDS[request.kind],
            "sha256": request.sha256,
            "hash": request.sha256[:SHORT_HASH_LENGTH],
            "answer": describe_answer(request),
            "by": request.answered_by,
            "error": request.error,
        },
    )


def describe_answer(request: GatewayRequest) -> str | None:
    """Return the answer in a few words; None if there is none."""
    answer = request.answer
    if answer is None:
        return None
    if "decision" in answer:
        return ANSWER_WORDS.get(answer["decision"], str(answer["decision"]))
    return "not answered" if answer.get("cancel") else "answered"
