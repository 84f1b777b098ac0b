"""Answering: a person decides, once, and the gateway is told by who holds it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import EventType, RequestState, User
from services import events
from services.gateway_requests.details import RequestDetail, found
from services.gateway_requests.facts import happened
from services.gateway_requests.rules import Wish, again, checked


async def answer(session: AsyncSession, user: User, request_id: UUID, wish: Wish) -> RequestDetail:
    """Answer a request. Whoever answers first has answered it; it is never taken back.

    Saying the same again changes nothing. Raises NotFound and Forbidden, Invalid where the gateway
    would not take such an answer, and Conflict where it was answered before, is over, or asks
    something else than the person has seen.
    """
    detail = await found(session, user, request_id, held=True)
    request = detail.request
    answered = checked(request, wish)
    if not detail.is_waiting:
        again(request, user, answered)
        return detail
    request.state = RequestState.ANSWERING
    request.answer = answered
    request.answered_by_user_id = user.id
    request.answered_by = user.called
    request.answered_at = now()
    fact = happened(EventType.GATEWAY_REQUEST_ANSWERED, user, request, detail.asked_by)
    await events.record_all(session, [fact])
    return detail
