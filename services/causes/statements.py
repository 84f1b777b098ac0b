"""The statements that load causes, each for at most MAX_ROWS rows, the latest ones first."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, String, Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.db.reads import Query, choose_columns
from models import (
    Agent,
    Approval,
    ApprovalTask,
    Event,
    EventType,
    GatewayRequest,
    Message,
    Run,
    User,
)
from services.causes.steps import MESSAGE_ID_LENGTH

MAX_ROWS = 50

CHANGES = (
    EventType.TASK_CREATED,
    EventType.TASK_UPDATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_DELETED,
    EventType.TASK_RESTORED,
)
BOARD_ID = bindparam("board_id", type_=Uuid())
TASK_ID = bindparam("task_id", type_=Uuid())
APPROVAL_ID = bindparam("approval_id", type_=Uuid())
AGENT_ID = bindparam("agent_id", type_=Uuid())
REQUESTER_ID = bindparam("requester_id", type_=Uuid())
REQUESTED_AT: ColumnElement[Any] = bindparam("requested_at", type_=DateTime(timezone=True))
ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
TIMES = ARRAY(DateTime(timezone=True))


def _is_one_of(column: Any, name: str, type: Any = None) -> ColumnElement[bool]:
    return column.bool_op("=")(func.any(bindparam(name, type_=ARRAY(type or Uuid()))))


def _messages(where: ColumnElement[bool]) -> Query[Message]:
    """Select messages of a board, or of an agent without a board, in an organization."""
    query = select(Message).where(
        where,
        Message.organization_id == ORGANIZATION_ID,
        Message.board_id.is_not_distinct_from(BOARD_ID),
    )
    return Query(query.order_by(Message.seq.desc()).limit(MAX_ROWS), lambda row: row[0])


MESSAGES_OF_TASK = _messages(Message.task_id == TASK_ID)
MESSAGES_OF_APPROVAL = _messages(Message.approval_id == APPROVAL_ID)
MESSAGES_BY_ID = _messages(_is_one_of(Message.id, "ids"))
MESSAGE: Query[Message] = Query(
    select(Message).where(
        Message.id == bindparam("message_id", type_=Uuid()), Message.agent_id == AGENT_ID
    ),
    lambda row: row[0],
)

IS_STARTED = _is_one_of(Run.agent_id, "recipient_ids") & _is_one_of(
    func.left(Run.run_id, MESSAGE_ID_LENGTH), "message_ids", String
)


def _runs(where: ColumnElement[bool]) -> Query[Run]:
    """Select runs of agents of a board, or of agents without a board."""
    query = select(Run).join(Agent, Agent.id == Run.agent_id)
    query = query.where(Agent.board_id.is_not_distinct_from(BOARD_ID), where)
    return Query(
        query.order_by(Run.started_at.desc(), Run.id.desc()).limit(MAX_ROWS), lambda row: row[0]
    )


STARTED_RUNS = _runs(IS_STARTED)
RUNS_OF_TASK = _runs(or_(Run.task_id == TASK_ID, IS_STARTED))
RUNS_OF_REQUESTER = _runs(
    or_((Run.agent_id == REQUESTER_ID) & (Run.started_at <= REQUESTED_AT), IS_STARTED)
)

PERIODS = (
    func.unnest(bindparam("starts", type_=TIMES), bindparam("ends", type_=TIMES))
    .table_valued("started_at", "ended_at", name="periods")
    .render_derived()
)


def _is_in_runs(time: Any) -> ColumnElement[bool]:
    """Build the condition for a time in one of the runs from `starts` to `ends`."""
    return (
        select(PERIODS.c.started_at)
        .where(time.between(PERIODS.c.started_at, PERIODS.c.ended_at))
        .exists()
    )


def _approvals(where: ColumnElement[bool]) -> Query[Approval]:
    query = select(Approval).where(where, Approval.board_id == BOARD_ID)
    return Query(query.order_by(Approval.created_at.desc()).limit(MAX_ROWS), lambda row: row[0])


APPROVALS_OF_TASK = _approvals(
    or_(
        Approval.task_id == TASK_ID,
        Approval.id.in_(select(ApprovalTask.approval_id).where(ApprovalTask.task_id == TASK_ID)),
    )
)
APPROVALS_IN_RUNS = _approvals(
    or_(
        (Approval.agent_id == AGENT_ID) & _is_in_runs(Approval.created_at),
        Approval.id == APPROVAL_ID,
    )
)


def _changes(where: ColumnElement[bool], *, of_board: bool = True) -> Query[Event]:
    is_there = Event.board_id == BOARD_ID
    if not of_board:
        is_there = Event.board_id.is_not_distinct_from(BOARD_ID)
    query = select(Event).where(where, is_there, Event.type.in_(CHANGES))
    return Query(query.order_by(Event.created_at.desc()).limit(MAX_ROWS), lambda row: row[0])


CHANGES_OF_TASK = _changes(Event.task_id == TASK_ID)
CHANGES_AFTER_APPROVAL = _changes(
    or_(
        Event.task_id == TASK_ID,
        Event.task_id.in_(
            select(ApprovalTask.task_id).where(ApprovalTask.approval_id == APPROVAL_ID)
        ),
    )
    & (Event.created_at >= REQUESTED_AT)
)
CHANGES_IN_RUNS = _changes(
    (Event.agent_id == AGENT_ID) & Event.user_id.is_(None) & _is_in_runs(Event.created_at),
    of_board=False,
)

REQUEST_COLUMNS = ("kind", "sha256", "asked_at", "answer", "answered_at", "answered_by")
REQUESTS: Query[GatewayRequest] = Query(
    choose_columns(
        select(GatewayRequest)
        .where(
            _is_one_of(GatewayRequest.run_id, "run_ids", String),
            _is_one_of(GatewayRequest.agent_id, "agent_ids"),
        )
        .order_by(GatewayRequest.asked_at.desc())
        .limit(MAX_ROWS),
        {GatewayRequest: ("id", "agent_id", "run_id", *REQUEST_COLUMNS)},
    ),
    lambda row: row[0],
)
LINKS: Query[tuple[UUID, UUID]] = Query(
    select(ApprovalTask.task_id, ApprovalTask.approval_id).where(
        _is_one_of(ApprovalTask.approval_id, "ids")
    )
)
AGENT_NAMES: Query[tuple[UUID, str]] = Query(
    select(Agent.id, Agent.name).where(_is_one_of(Agent.id, "ids"))
)
USERS: Query[User] = Query(select(User).where(_is_one_of(User.id, "ids")), lambda row: row[0])
