"""Reads of requests, with their agents, boards and tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden, NotFound
from core.paging import MAX_PAGE_SIZE, Page, Paging, fetch_page_of_rows
from models import Agent, Board, GatewayRequest, Member, RequestState, Run, Task, User
from services import boards, organizations
from services.gateways.requests.rules import asks_for_secret

NEWEST_FIRST = (GatewayRequest.created_at.desc(), GatewayRequest.id.desc())
LAST_ENDED_FIRST = (GatewayRequest.ended_at.desc().nulls_first(), *NEWEST_FIRST)
IS_WAITING = GatewayRequest.state == RequestState.WAITING

DetailQuery: TypeAlias = Select[*tuple[Any, ...]]

SHORT_HASH_LENGTH = 12  # characters of a hash that users compare
MAX_TITLE_LENGTH = 200  # characters


@dataclass(frozen=True)
class RequestDetail:
    """A request with its agent, its board and its task."""

    request: GatewayRequest
    agent: Agent | None
    board: Board | None
    task: Task | None  # of the run that made the request

    @property
    def asked_by(self) -> str:
        """The name of the agent that made the request."""
        return self.agent.name if self.agent else self.request.agent_key or "An agent"

    @property
    def is_waiting(self) -> bool:
        """Whether the request waits for an answer."""
        return self.request.state is RequestState.WAITING

    @property
    def is_secret(self) -> bool:
        """Whether a secret is requested; such a request cannot be answered here."""
        return asks_for_secret(self.request)

    @property
    def short_hash(self) -> str:
        """The part of the hash that users compare."""
        return self.request.sha256[:SHORT_HASH_LENGTH]

    @property
    def title(self) -> str:
        """The command or the first question, on one line."""
        request = self.request
        text = request.command or request.questions[0]["question"]
        line = " ".join(text.split())
        return line if len(line) <= MAX_TITLE_LENGTH else f"{line[: MAX_TITLE_LENGTH - 1]}…"


async def list_requests(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    state: RequestState | None = None,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> Page[RequestDetail]:
    """Return the requests that a member may answer, or could have, newest first."""
    query = detail_query().where(answerable_condition(member))
    for column, wanted in (
        (GatewayRequest.state, state),
        (GatewayRequest.board_id, board_id),
        (GatewayRequest.gateway_id, gateway_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return (await fetch_page_of_rows(session, query.order_by(*NEWEST_FIRST), paging)).map(
        detail_from_row
    )


async def list_waiting_requests(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[RequestDetail]:
    """Return the waiting requests that a member may answer, newest first."""
    query = detail_query().where(IS_WAITING, answerable_condition(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    found = await session.execute(query.order_by(*NEWEST_FIRST).limit(MAX_PAGE_SIZE))
    return [detail_from_row(row) for row in found]


async def list_ended_requests(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[RequestDetail]:
    """Return the requests that are answered or over, the latest end first."""
    query = detail_query().where(~IS_WAITING, answerable_condition(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    return (await fetch_page_of_rows(session, query.order_by(*LAST_ENDED_FIRST), paging)).map(
        detail_from_row
    )


async def list_answered_since(
    session: AsyncSession, member: Member, since: datetime, *, board_id: UUID | None = None
) -> Sequence[RequestDetail]:
    """Return the requests answered since a time, here or on the gateway, latest answer first."""
    query = detail_query().where(GatewayRequest.answered_at >= since, answerable_condition(member))
    if board_id is not None:
        query = query.where(GatewayRequest.board_id == board_id)
    found = await session.execute(
        query.order_by(GatewayRequest.answered_at.desc()).limit(MAX_PAGE_SIZE)
    )
    return [detail_from_row(row) for row in found]


async def find_request_of_run(
    session: AsyncSession, member: Member, run: Run
) -> RequestDetail | None:
    """Return the request that a run waits for, if this member may answer it."""
    is_of_run = (GatewayRequest.gateway_id == run.gateway_id) & (
        GatewayRequest.run_id == run.run_id
    )
    query = (
        detail_query()
        .where(IS_WAITING, is_of_run, answerable_condition(member))
        .order_by(*NEWEST_FIRST)
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    return detail_from_row(row) if row is not None else None


async def count_waiting_by_board(session: AsyncSession, member: Member) -> dict[UUID | None, int]:
    """Count the waiting requests that a member may answer, by board; None is without a board."""
    query = select(GatewayRequest.board_id, func.count()).where(
        IS_WAITING, answerable_condition(member)
    )
    found = await session.execute(query.group_by(GatewayRequest.board_id))
    return {board_id: count for board_id, count in found}


def detail_query() -> DetailQuery:
    """Return a query of requests whose rows `detail_from_row` converts."""
    is_of_run = (Run.gateway_id == GatewayRequest.gateway_id) & (
        Run.run_id == GatewayRequest.run_id
    )
    return (
        select(GatewayRequest, Agent, Board, Task)
        .outerjoin(Agent, Agent.id == GatewayRequest.agent_id)
        .outerjoin(Board, Board.id == GatewayRequest.board_id)
        .outerjoin(Run, is_of_run)
        .outerjoin(Task, (Task.id == Run.task_id) & (Task.board_id == GatewayRequest.board_id))
    )


def detail_from_row(row: Sequence[Any]) -> RequestDetail:
    """Convert a row of `detail_query`."""
    return RequestDetail(*row[:4])


def answerable_condition(member: Member) -> ColumnElement[bool]:
    """Return the condition for the requests that a member may read and answer.

    These are the requests of the boards that they may change, and for admins those without a board.
    """
    is_own = GatewayRequest.organization_id == member.organization_id
    is_writable = GatewayRequest.board_id.in_(boards.writable_board_ids_query(member.user))
    is_without_board = GatewayRequest.board_id.is_(None)
    return is_own & (is_writable | is_without_board if member.is_admin else is_writable)


async def get_request(
    session: AsyncSession, user: User, request_id: UUID, *, lock: bool = False
) -> RequestDetail:
    """Return a request of the user's organizations that they may answer.

    `lock` locks its row until the end of the transaction. Raises NotFound and Forbidden.
    """
    board = boards.visible_boards_query(user).subquery()
    is_member = (Member.organization_id == GatewayRequest.organization_id) & (
        Member.user_id == user.id
    )
    query = (
        detail_query()
        .join(Member, is_member)
        .outerjoin(board, board.c.id == GatewayRequest.board_id)
    )
    query = query.add_columns(Member, board.c.reads & board.c.writes)
    query = query.where(GatewayRequest.id == request_id)
    if lock:
        query = query.with_for_update(of=GatewayRequest)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise NotFound("gateway_request_not_found", "There is no such request.")
    *_, member, writes = row
    if row[0].board_id is None:
        organizations.require_admin(member)
    elif not writes:
        raise Forbidden("board_write_forbidden", "Only who may change this board can answer that.")
    return detail_from_row(row)
