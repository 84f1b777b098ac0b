"""Reading requests: those that wait, those that are over, and how many there are."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import MOST, Page, Paging, paged_rows
from models import GatewayRequest, Member, RequestState, Run
from services.gateway_requests.details import RequestDetail, answerable, from_row, rows

NEWEST_FIRST = (GatewayRequest.created_at.desc(), GatewayRequest.id.desc())
LAST_FIRST = (GatewayRequest.ended_at.desc().nulls_first(), *NEWEST_FIRST)
WAITING = GatewayRequest.state == RequestState.WAITING


async def listed(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    state: RequestState | None = None,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> Page[RequestDetail]:
    """Return the requests that a member may answer, or could have, newest first."""
    query = rows().where(answerable(member))
    for column, wanted in (
        (GatewayRequest.state, state),
        (GatewayRequest.board_id, board_id),
        (GatewayRequest.gateway_id, gateway_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return (await paged_rows(session, query.order_by(*NEWEST_FIRST), paging)).map(from_row)


async def waiting(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[RequestDetail]:
    """Return the requests that wait for an answer of this member's, newest first."""
    query = rows().where(WAITING, answerable(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    found = await session.execute(query.order_by(*NEWEST_FIRST).limit(MOST))
    return [from_row(row) for row in found]


async def over(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[RequestDetail]:
    """Return the requests that wait no more, last one first."""
    query = rows().where(~WAITING, answerable(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    return (await paged_rows(session, query.order_by(*LAST_FIRST), paging)).map(from_row)


async def answered_since(
    session: AsyncSession, member: Member, since: datetime, *, board_id: UUID | None = None
) -> Sequence[RequestDetail]:
    """Return what was answered since a moment, here or elsewhere, last answer first."""
    query = rows().where(GatewayRequest.answered_at >= since, answerable(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    found = await session.execute(query.order_by(GatewayRequest.answered_at.desc()).limit(MOST))
    return [from_row(row) for row in found]


async def of_run(session: AsyncSession, member: Member, run: Run) -> RequestDetail | None:
    """Return what a run waits for, if this member may answer it."""
    mine = (GatewayRequest.gateway_id == run.gateway_id) & (GatewayRequest.run_id == run.run_id)
    query = rows().where(WAITING, mine, answerable(member)).order_by(*NEWEST_FIRST).limit(1)
    row = (await session.execute(query)).one_or_none()
    return from_row(row) if row is not None else None


async def waiting_by_board(session: AsyncSession, member: Member) -> dict[UUID | None, int]:
    """Count the requests that wait for this member; those on no board under None."""
    query = select(GatewayRequest.board_id, func.count()).where(WAITING, answerable(member))
    found = await session.execute(query.group_by(GatewayRequest.board_id))
    return {board_id: count for board_id, count in found}
