"""Load what led to the state of a task, an approval or a message.

The caller checks that the reader may read the object. Everything else is on the same board, or, for
an agent without a board, of the same agent. Each statement returns at most MAX_ROWS rows, the
latest ones.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    String,
    Uuid,
    bindparam,
    func,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.reads import Query, Source, choose_columns
from core.errors import NotFound
from core.text import N_
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Event,
    GatewayRequest,
    Message,
    Run,
    Task,
    User,
)
from services.causes.steps import (
    MESSAGE_ID_LENGTH,
    CauseRows,
    CauseStep,
    build_steps,
    find_active_run,
    get_message_id,
)
from services.events import list_types

MAX_ROWS = 50

CHANGES = list_types(lambda entry: bool(entry.cause_text))
BOARD_ID = bindparam("board_id", type_=Uuid())
TASK_ID = bindparam("task_id", type_=Uuid())
APPROVAL_ID = bindparam("approval_id", type_=Uuid())
AGENT_ID = bindparam("agent_id", type_=Uuid())
REQUESTED_AT: ColumnElement[Any] = bindparam("requested_at", type_=DateTime(timezone=True))
ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
TIMES = ARRAY(DateTime(timezone=True))


def _is_one_of(column: Any, name: str, type: Any = None) -> ColumnElement[bool]:
    return column.bool_op("=")(func.any(bindparam(name, type_=ARRAY(type or Uuid()))))


def _has_one_of_ids(column: Any, *ids: Select[Any]) -> ColumnElement[bool]:
    """Build the condition for rows that one of these statements finds, each in its own index.

    If they are conditions of one statement, PostgreSQL may apply them to all rows of a board.
    """
    return column.in_(union(*ids))


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

LATEST_RUNS = (Run.started_at.desc(), Run.id.desc())
IS_STARTED = _is_one_of(Run.agent_id, "recipient_ids") & _is_one_of(
    func.left(Run.run_id, MESSAGE_ID_LENGTH), "message_ids", String
)


def _runs(where: ColumnElement[bool]) -> Query[Run]:
    """Select runs of agents of a board, or of agents without a board."""
    query = select(Run).join(Agent, Agent.id == Run.agent_id)
    query = query.where(Agent.board_id.is_not_distinct_from(BOARD_ID), where)
    return Query(query.order_by(*LATEST_RUNS).limit(MAX_ROWS), lambda row: row[0])


STARTED_RUNS = _runs(IS_STARTED)
RUNS_OF_TASK = _runs(or_(Run.task_id == TASK_ID, IS_STARTED))
EARLIER_RUNS = (
    select(Run.id)
    .where(Run.agent_id == bindparam("requester_id", type_=Uuid()), Run.started_at <= REQUESTED_AT)
    .order_by(*LATEST_RUNS)
    .limit(MAX_ROWS)
)
RUNS_OF_REQUESTER = _runs(_has_one_of_ids(Run.id, EARLIER_RUNS, select(Run.id).where(IS_STARTED)))

PERIODS = (
    func.unnest(bindparam("starts", type_=TIMES), bindparam("ends", type_=TIMES))
    .table_valued("started_at", "ended_at", name="periods")
    .render_derived()
)


def _in_runs(rows: Select[Any], time: Any) -> Select[Any]:
    """Select the ids of the latest of these rows in each of the runs from `starts` to `ends`."""
    is_in_run = time.between(PERIODS.c.started_at, PERIODS.c.ended_at)
    latest = rows.where(is_in_run).order_by(time.desc()).limit(MAX_ROWS).lateral("latest")
    return select(latest.c[0]).join_from(PERIODS, latest, true())


def _approvals(where: ColumnElement[bool]) -> Query[Approval]:
    query = select(Approval).where(where, Approval.board_id == BOARD_ID)
    return Query(query.order_by(Approval.created_at.desc()).limit(MAX_ROWS), lambda row: row[0])


APPROVALS_OF_TASK = _approvals(
    _has_one_of_ids(
        Approval.id,
        select(Approval.id).where(Approval.task_id == TASK_ID),
        select(ApprovalTask.approval_id).where(ApprovalTask.task_id == TASK_ID),
    )
)
APPROVALS_IN_RUNS = _approvals(
    _has_one_of_ids(
        Approval.id,
        _in_runs(select(Approval.id).where(Approval.agent_id == AGENT_ID), Approval.created_at),
        select(APPROVAL_ID.label("id")),
    )
)


def _changes(*where: ColumnElement[bool]) -> Query[Event]:
    query = select(Event).where(*where)
    return Query(query.order_by(Event.created_at.desc()).limit(MAX_ROWS), lambda row: row[0])


IS_CHANGE_ON_BOARD = (Event.board_id == BOARD_ID) & Event.type.in_(CHANGES)
CHANGES_OF_TASK = _changes(Event.task_id == TASK_ID, IS_CHANGE_ON_BOARD)
CHANGES_AFTER_APPROVAL = _changes(
    IS_CHANGE_ON_BOARD,
    _has_one_of_ids(
        Event.task_id,
        select(TASK_ID.label("id")),
        select(ApprovalTask.task_id).where(ApprovalTask.approval_id == APPROVAL_ID),
    ),
    Event.created_at >= REQUESTED_AT,
)
CHANGES_BY_AGENT = select(Event.id).where(
    Event.agent_id == AGENT_ID,
    Event.user_id.is_(None),
    Event.board_id.is_not_distinct_from(BOARD_ID),
    Event.type.in_(CHANGES),
)
CHANGES_IN_RUNS = _changes(_has_one_of_ids(Event.id, _in_runs(CHANGES_BY_AGENT, Event.created_at)))

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


async def load_task_causes(source: Source, board: Board, task: Task) -> list[CauseStep]:
    """Return what led to the state of a task of a board that the reader may read."""
    task_id = {"task_id": task.id}
    approvals = await APPROVALS_OF_TASK.fetch(source, board_id=board.id, **task_id)
    messages = await MESSAGES_OF_TASK.fetch(source, **_place(board), **task_id)
    runs = await RUNS_OF_TASK.fetch(source, **_place(board), **_starters(messages), **task_id)
    changes = await CHANGES_OF_TASK.fetch(source, **_place(board), **task_id)
    rows = CauseRows(messages, runs, approvals=approvals, changes=changes)
    return await _build(source, board, rows)


async def load_approval_causes(source: Source, board: Board, approval: Approval) -> list[CauseStep]:
    """Return what led to an approval of a board that the reader may read, and what followed."""
    about = {
        "approval_id": approval.id,
        "task_id": approval.task_id,
        "requester_id": approval.agent_id,
        "requested_at": approval.created_at,
    }
    messages = await MESSAGES_OF_APPROVAL.fetch(source, **_place(board), **about)
    runs = await RUNS_OF_REQUESTER.fetch(source, **_place(board), **_starters(messages), **about)
    request_run = find_active_run(runs, approval.agent_id, approval.created_at)
    started = {str(message.id) for message in messages}
    runs = [run for run in runs if run is request_run or get_message_id(run) in started]
    changes = await CHANGES_AFTER_APPROVAL.fetch(source, **_place(board), **about)
    rows = CauseRows(messages, runs, approvals=[approval], changes=changes)
    return await _build(source, board, rows)


async def load_message_causes(source: Source, agent: Agent, message_id: UUID) -> list[CauseStep]:
    """Return what led to a message to an agent that the reader may see, and what followed.

    Raises NotFound.
    """
    message = await MESSAGE.first(source, message_id=message_id, agent_id=agent.id)
    if message is None:
        raise NotFound("message_not_found", N_("There is no such message."))
    runs = await STARTED_RUNS.fetch(source, **_place(agent), **_starters([message]))
    during = {
        "agent_id": agent.id,
        "approval_id": message.approval_id,
        "starts": [run.started_at for run in runs],
        "ends": [run.ended_at or now() for run in runs],
    }
    approvals, changes = [], []
    if runs or message.approval_id:
        approvals = await APPROVALS_IN_RUNS.fetch(source, board_id=agent.board_id, **during)
        changes = await CHANGES_IN_RUNS.fetch(source, **_place(agent), **during)
    rows = CauseRows([message], runs, approvals=approvals, changes=changes)
    return await _build(source, agent, rows)


async def _build(source: Source, owner: Board | Agent, rows: CauseRows) -> list[CauseStep]:
    """Add the messages that started the runs, the requests of the runs, and all names."""
    known = {str(message.id) for message in rows.messages}
    missing = {get_message_id(run) for run in rows.runs} - known
    ids = [id for id in map(_parse_id, missing) if id]
    starting = await MESSAGES_BY_ID.fetch(source, **_place(owner), ids=ids) if ids else []
    run_ids = [run.run_id for run in rows.runs]
    agent_ids = list({run.agent_id for run in rows.runs})
    requests = await REQUESTS.fetch(source, run_ids=run_ids, agent_ids=agent_ids) if run_ids else []
    rows = replace(rows, messages=[*rows.messages, *starting], requests=requests)
    return build_steps(
        replace(
            rows,
            names=await _load_names(source, rows),
            approved_task_ids=await _load_approved_tasks(source, rows.approvals),
        )
    )


def _place(owner: Board | Agent) -> dict[str, UUID | None]:
    """Return the parameters for rows of a board, or of the board of an agent.

    Ids of messages may come from a gateway, so without a board they do not prove access.
    """
    board_id = owner.id if isinstance(owner, Board) else owner.board_id
    return {"organization_id": owner.organization_id, "board_id": board_id}


def _starters(messages: Collection[Message]) -> dict[str, list[Any]]:
    """Return the parameters for the runs that messages started."""
    return {
        "message_ids": [str(one.id) for one in messages],
        "recipient_ids": list({one.agent_id for one in messages}),
    }


async def _load_approved_tasks(source: Source, approvals: Collection[Approval]) -> dict[UUID, UUID]:
    """Return the latest approved approval of each task."""
    approved = {
        one.id: one.decided_at or one.resolved_at
        for one in approvals
        if one.status is ApprovalStatus.APPROVED
    }
    if not approved:
        return {}
    rows = await LINKS.fetch(source, ids=list(approved))
    return {task_id: id for task_id, id in sorted(rows, key=lambda row: str(approved[row[1]]))}


async def _load_names(source: Source, rows: CauseRows) -> dict[UUID | None, str]:
    agent_ids = {
        *(one.agent_id for one in (*rows.runs, *rows.requests, *rows.approvals, *rows.changes)),
        *(id for one in rows.messages for id in (one.agent_id, one.from_agent_id)),
    }
    user_ids = {
        *(one.from_user_id for one in rows.messages),
        *(
            id
            for one in rows.approvals
            for id in (one.requested_by_user_id, one.decided_by_user_id)
        ),
        *(one.user_id for one in rows.changes),
    }
    agents = await AGENT_NAMES.fetch(source, ids=[id for id in agent_ids if id])
    users = await USERS.fetch(source, ids=[id for id in user_ids if id])
    return {**dict(agents), **{one.id: one.display_name for one in users}}


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
