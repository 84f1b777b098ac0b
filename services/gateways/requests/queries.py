"""Reads of requests, with their agents, boards and tasks, and of those that a gateway has open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    Text,
    Uuid,
    bindparam,
    cast,
    false,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from core.db.reads import Query, Source, choose_columns
from core.errors import Forbidden, NotFound
from core.paging import MAX_PAGE_SIZE, Page, PagedQuery, Paging
from core.text import N_
from models import (
    Agent,
    Board,
    GatewayRequest,
    Member,
    RequestKind,
    RequestState,
    RiskLevel,
    Run,
    Task,
    User,
)
from services import boards, organizations
from services.gateways.requests.rules import asks_for_secret, has_duplicate_question_ids

NEWEST_FIRST = (GatewayRequest.created_at.desc(), GatewayRequest.id.desc())
LAST_ENDED_FIRST = (GatewayRequest.ended_at.desc().nulls_first(), *NEWEST_FIRST)
IS_WAITING = GatewayRequest.state == RequestState.WAITING

DetailQuery: TypeAlias = Select[*tuple[Any, ...]]

SHORT_HASH_LENGTH = 12  # characters of a hash that users compare
MAX_COUNTED = 1_000  # requests that are over, after the page
MAX_LIST_BYTES = 2_000_000  # of the contents in one page of the API


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
    def task_id(self) -> UUID | None:
        """The id of the task."""
        return self.task.id if self.task else None

    @property
    def is_waiting(self) -> bool:
        """Whether the request waits for an answer."""
        return self.request.state is RequestState.WAITING

    @property
    def is_secret(self) -> bool:
        """Whether a secret is requested; such a request cannot be answered here."""
        return asks_for_secret(self.request)

    @property
    def has_duplicate_question_ids(self) -> bool:
        """Whether two questions have the same id; they can only be left unanswered here."""
        return has_duplicate_question_ids(self.request)

    @property
    def short_hash(self) -> str:
        """The part of the hash that users compare."""
        return self.request.sha256[:SHORT_HASH_LENGTH]


def detail_from_row(row: Sequence[Any]) -> RequestDetail:
    """Convert a row of DETAILS."""
    return RequestDetail(*row[:4])


DETAILS: DetailQuery = (
    select(GatewayRequest, Agent, Board, Task)
    .outerjoin(Agent, Agent.id == GatewayRequest.agent_id)
    .outerjoin(Board, Board.id == GatewayRequest.board_id)
    .outerjoin(
        Run, (Run.gateway_id == GatewayRequest.gateway_id) & (Run.run_id == GatewayRequest.run_id)
    )
    .outerjoin(Task, (Task.id == Run.task_id) & (Task.board_id == GatewayRequest.board_id))
)
"""Requests, in rows that `detail_from_row` converts."""

LISTED_COLUMNS = (
    *("id", "organization_id", "gateway_id", "gateway_name", "request_id", "kind", "board_id"),
    *("agent_id", "agent_key", "title", "sha256", "state", "asked_at", "expires_at", "answer"),
    *("answered_by", "answered_by_user_id", "answered_at", "ended_at", "error", "created_at"),
)
"""The columns of a request in a list: without its content, which can be long."""

LISTED_DETAILS: DetailQuery = choose_columns(DETAILS, {GatewayRequest: LISTED_COLUMNS})
"""The same without the contents, on read connections."""

FILTERS: Mapping[str, ColumnElement[bool]] = {
    "state": GatewayRequest.state == bindparam("state"),
    "board_id": GatewayRequest.board_id == bindparam("board_id"),
    "gateway_id": GatewayRequest.gateway_id == bindparam("gateway_id"),
}
"""The condition of each filter of a list."""


def _answerable(*, is_admin: bool) -> ColumnElement[bool]:
    """Build the condition for the requests that a member may read and answer.

    These are the requests of the boards that they may change, and for admins those without a board.
    """
    is_own = GatewayRequest.organization_id == bindparam("organization_id")
    is_writable = GatewayRequest.board_id.in_(boards.WRITABLE_BOARD_IDS)
    is_without_board = GatewayRequest.board_id.is_(None)
    return is_own & (is_writable | is_without_board if is_admin else is_writable)


def _list_query(condition: ColumnElement[bool], *, is_admin: bool, by_board: bool) -> DetailQuery:
    query = LISTED_DETAILS.where(condition, _answerable(is_admin=is_admin))
    return query.where(FILTERS["board_id"]) if by_board else query


def _parameters(member: Member) -> dict[str, UUID]:
    return {"user_id": member.user_id, "organization_id": member.organization_id}


def _build_complete_query() -> Query[RequestDetail]:
    """Build the query of the requests with these ids, until their contents are too long."""
    size = func.octet_length(GatewayRequest.exact)
    for column in (GatewayRequest.content, GatewayRequest.context, GatewayRequest.answer):
        size += func.coalesce(func.octet_length(cast(column, Text)), 0)
    before = func.sum(size).over(order_by=NEWEST_FIRST) - size
    has_id = GatewayRequest.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))
    sized = select(GatewayRequest.id, before.label("before")).where(has_id).subquery("sized")
    query = DETAILS.join(sized, sized.c.id == GatewayRequest.id)
    query = query.where(sized.c.before < MAX_LIST_BYTES).order_by(*NEWEST_FIRST)
    return Query(query, detail_from_row)


COMPLETE_REQUESTS = _build_complete_query()


async def list_requests(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    state: RequestState | None = None,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> Page[RequestDetail]:
    """Return the requests that a member may answer, or could have, newest first.

    They are complete. A page whose contents are longer than MAX_LIST_BYTES ends early: its `limit`
    is then the number of its items, at least one.
    """
    filters = {"state": state, "board_id": board_id, "gateway_id": gateway_id}
    names = frozenset(name for name, value in filters.items() if value is not None)
    query = _build_list_query(names, is_admin=member.is_admin)
    page = await query.fetch_page(source, paging, **filters, **_parameters(member))
    found = await COMPLETE_REQUESTS.fetch(source, ids=list(page.items)) if page.items else []
    if len(found) == len(page.items) or not found:
        return Page(found, page.total, page.limit, page.offset, page.next_cursor)
    last = found[-1].request
    cursor = None if paging.after is None else query.build_cursor(last.created_at, last.id)
    return Page(found, page.total, len(found), paging.offset, cursor)


@cache
def _build_list_query(filters: frozenset[str], *, is_admin: bool) -> PagedQuery[UUID]:
    query = select(GatewayRequest.id).where(_answerable(is_admin=is_admin))
    query = query.where(*(FILTERS[name] for name in sorted(filters)))
    return PagedQuery(query.order_by(*NEWEST_FIRST), itemgetter(0))


def waiting_rows_query(*, is_admin: bool) -> Select[*tuple[Any, ...]]:
    """Select the waiting requests that a member may answer, as rows of the inbox.

    The columns are those of `approvals.undecided_rows_query`.
    """
    query = select(
        GatewayRequest.id,
        GatewayRequest.board_id,
        GatewayRequest.created_at.label("at"),
        false().label("waits_for_others"),
        GatewayRequest.agent_id,
        Agent.name.label("agent_name"),
        type_coerce(GatewayRequest.kind, String).label("request_kind"),
        literal(RiskLevel.HIGH, String).label("risk"),  # as of approvals that state none
        literal(None, String).label("equality_hash"),
    )
    query = query.outerjoin(Agent, Agent.id == GatewayRequest.agent_id)
    return query.where(IS_WAITING, _answerable(is_admin=is_admin))


def build_listed_query(listed: FromClause) -> Query[RequestDetail]:
    """Build the query of the requests whose ids are in the column `id` of another one."""
    query = LISTED_DETAILS.join(listed, listed.c.id == GatewayRequest.id)
    return Query(query, detail_from_row)


async def list_ended_requests(
    source: Source, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[RequestDetail]:
    """Return the requests that are answered or over, the latest end first.

    They are counted up to MAX_COUNTED after the offset; a larger total means that there are more.
    """
    query = _build_ended_query(is_admin=member.is_admin, by_board=board_id is not None)
    page = await query.fetch_page(source, paging, board_id=board_id, **_parameters(member))
    found = await ENDED_REQUESTS.fetch(source, ids=list(page.items)) if page.items else []
    return Page(found, page.total, page.limit, page.offset, page.next_cursor)


@cache
def _build_ended_query(*, is_admin: bool, by_board: bool) -> PagedQuery[UUID]:
    """Build the query of the ids alone: their tasks are joined only for those of a page."""
    query = select(GatewayRequest.id).where(~IS_WAITING, _answerable(is_admin=is_admin))
    if by_board:
        query = query.where(FILTERS["board_id"])
    query = query.order_by(*LAST_ENDED_FIRST)
    return PagedQuery(query, itemgetter(0), max_counted=MAX_COUNTED)


ENDED_REQUESTS: Query[RequestDetail] = Query(
    LISTED_DETAILS.where(
        GatewayRequest.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))
    ).order_by(*LAST_ENDED_FIRST),
    detail_from_row,
)


@cache
def build_answered_query(*, is_admin: bool, by_board: bool) -> Query[RequestDetail]:
    """Build the query of the requests answered since the time `since`, latest answer first.

    They were answered here or on the gateway.
    """
    is_answered = GatewayRequest.answered_at >= bindparam("since")
    query = _list_query(is_answered, is_admin=is_admin, by_board=by_board)
    query = query.order_by(GatewayRequest.answered_at.desc()).limit(MAX_PAGE_SIZE)
    return Query(query, detail_from_row)


_LATEST_OF_RUNS = {
    is_admin: Query[tuple[UUID, RequestDetail]](
        _list_query(
            IS_WAITING & (Run.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))),
            is_admin=is_admin,
            by_board=False,
        )
        .add_columns(Run.id)
        .ext(distinct_on(Run.id))
        .order_by(Run.id, *NEWEST_FIRST),
        lambda row: (row[4], detail_from_row(row)),
    )
    for is_admin in (False, True)
}
"""By whether the member is an admin."""


async def load_requests_of_runs(
    source: Source, member: Member, waiting: Sequence[Run]
) -> Mapping[UUID, RequestDetail]:
    """Return the newest request that each run waits for, if this member may answer it, by run.

    Without runs there is no statement.
    """
    if not waiting:
        return {}
    query = _LATEST_OF_RUNS[member.is_admin]
    ids = [run.id for run in waiting]
    return dict(await query.fetch(source, ids=ids, **_parameters(member)))


_BY_GATEWAY_ID = {
    is_admin: Query[GatewayRequest](
        choose_columns(select(GatewayRequest), {GatewayRequest: LISTED_COLUMNS})
        .where(
            GatewayRequest.request_id == func.any(bindparam("request_ids", type_=ARRAY(String()))),
            FILTERS["gateway_id"],
        )
        .where(_answerable(is_admin=is_admin))
        .order_by(GatewayRequest.created_at),
        itemgetter(0),
    )
    for is_admin in (False, True)
}
"""By whether the member is an admin."""


async def load_requests_by_gateway_id(
    source: Source, member: Member, gateway_id: UUID, request_ids: Sequence[str]
) -> Mapping[str, GatewayRequest]:
    """Return the requests that have these ids on a gateway, if this member may read them, by id.

    Without ids there is no statement.
    """
    if not request_ids:
        return {}
    query = _BY_GATEWAY_ID[member.is_admin]
    ids = {"request_ids": list(request_ids), "gateway_id": gateway_id}
    found = await query.fetch(source, **ids, **_parameters(member))
    return {request.request_id: request for request in found}


_USER_BOARD = boards.USER_BOARDS.subquery()
_REQUEST = (
    DETAILS.join(
        Member,
        (Member.organization_id == GatewayRequest.organization_id)
        & (Member.user_id == bindparam("user_id")),
    )
    .outerjoin(_USER_BOARD, _USER_BOARD.c.id == GatewayRequest.board_id)
    .add_columns(Member, _USER_BOARD.c.reads & _USER_BOARD.c.writes)
    .where(GatewayRequest.id == bindparam("request_id"))
    .execution_options(populate_existing=True)
)
REQUEST = Query[tuple[Any, ...]](_REQUEST)
REQUEST_TO_LOCK = Query[tuple[Any, ...]](_REQUEST.with_for_update(of=GatewayRequest))


async def get_request(
    source: Source, user: User, request_id: UUID, *, lock: bool = False
) -> RequestDetail:
    """Return a request of the user's organizations that they may answer.

    `lock` locks its row until the end of the transaction. Raises NotFound and Forbidden.
    """
    query = REQUEST_TO_LOCK if lock else REQUEST
    row = await query.first(source, user_id=user.id, request_id=request_id)
    if row is None:
        raise NotFound("gateway_request_not_found", N_("There is no such request."))
    *_, member, writes = row
    if row[0].board_id is None:
        organizations.require_admin(member)
    elif not writes:
        raise Forbidden(
            "board_write_forbidden", N_("Only those who may change this board can answer this.")
        )
    return detail_from_row(row)


STORED_AS_WAITING = Query[tuple[RequestKind, str]](
    select(GatewayRequest.kind, GatewayRequest.request_id)
    .where(
        GatewayRequest.gateway_id == bindparam("gateway_id"),
        GatewayRequest.state == RequestState.WAITING,
    )
    .order_by(GatewayRequest.created_at)
)

UNDELIVERED_ANSWERS = Query[GatewayRequest](
    select(GatewayRequest)
    .where(
        GatewayRequest.gateway_id == bindparam("gateway_id"),
        GatewayRequest.state == RequestState.ANSWERING,
    )
    .order_by(GatewayRequest.answered_at),
    itemgetter(0),
)
