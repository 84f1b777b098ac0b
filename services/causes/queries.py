"""Load what led to the state of a task, an approval or a message.

The caller checks that the reader may read the object. Everything else is on the same board, or, for
an agent without a board, of the same agent.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import NotFound
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Event,
    EventType,
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

MAX_ROWS = 50  # of each kind, the latest ones

CHANGES = (
    EventType.TASK_CREATED,
    EventType.TASK_UPDATED,
    EventType.TASK_STATUS_CHANGED,
    EventType.TASK_DELETED,
    EventType.TASK_RESTORED,
)


async def load_task_causes(session: AsyncSession, board: Board, task: Task) -> list[CauseStep]:
    """Return what led to the state of a task of a board that the reader may read."""
    links = select(ApprovalTask.approval_id).where(ApprovalTask.task_id == task.id)
    is_about = or_(Approval.task_id == task.id, Approval.id.in_(links))
    approvals = await _list_approvals(session, board.id, is_about)
    messages = await _list_messages(session, board, Message.task_id == task.id)
    runs = await _list_runs(session, board.id, messages, Run.task_id == task.id)
    changes = await _list_changes(session, board.id, Event.task_id == task.id)
    rows = CauseRows(messages, runs, approvals=approvals, changes=changes)
    return await _build(session, board, rows)


async def load_approval_causes(
    session: AsyncSession, board: Board, approval: Approval
) -> list[CauseStep]:
    """Return what led to an approval of a board that the reader may read, and what followed."""
    messages = await _list_messages(session, board, Message.approval_id == approval.id)
    is_requester = Run.agent_id == approval.agent_id if approval.agent_id else false()
    was_started = is_requester & (Run.started_at <= approval.created_at)
    runs = await _list_runs(session, board.id, messages, was_started)
    request_run = find_active_run(runs, approval.agent_id, approval.created_at)
    started = {str(message.id) for message in messages}
    runs = [run for run in runs if run is request_run or get_message_id(run) in started]
    links = select(ApprovalTask.task_id).where(ApprovalTask.approval_id == approval.id)
    concerned = or_(Event.task_id == approval.task_id, Event.task_id.in_(links))
    is_later = Event.created_at >= approval.created_at
    changes = await _list_changes(session, board.id, concerned & is_later)
    rows = CauseRows(messages, runs, approvals=[approval], changes=changes)
    return await _build(session, board, rows)


async def load_message_causes(
    session: AsyncSession, agent: Agent, message_id: UUID
) -> list[CauseStep]:
    """Return what led to a message to an agent that the reader may see, and what followed.

    Raises NotFound.
    """
    is_it = (Message.id == message_id) & (Message.agent_id == agent.id)
    message = await session.scalar(select(Message).where(is_it))
    if message is None:
        raise NotFound("message_not_found", "There is no such message.")
    runs = await _list_runs(session, agent.board_id, [message], false())
    in_runs = or_(
        false(), *(Approval.created_at.between(run.started_at, _end(run)) for run in runs)
    )
    requested = (Approval.agent_id == agent.id) & in_runs
    is_about = or_(requested, Approval.id == message.approval_id)
    approvals = await _list_approvals(session, agent.board_id, is_about)
    acted = or_(false(), *(Event.created_at.between(run.started_at, _end(run)) for run in runs))
    is_actor = (Event.agent_id == agent.id) & Event.user_id.is_(None)
    changes = await _list_changes(session, agent.board_id, is_actor & acted)
    rows = CauseRows([message], runs, approvals=approvals, changes=changes)
    return await _build(session, agent, rows)


async def _build(session: AsyncSession, owner: Board | Agent, rows: CauseRows) -> list[CauseStep]:
    """Add the messages that started the runs, the requests of the runs, and all names."""
    known = {str(message.id) for message in rows.messages}
    missing = {get_message_id(run) for run in rows.runs} - known
    ids = [id for id in map(_parse_id, missing) if id]
    starting = await _list_messages(session, owner, Message.id.in_(ids))
    run_ids = [run.run_id for run in rows.runs]
    is_of_run = GatewayRequest.run_id.in_(run_ids)
    is_of_agent = GatewayRequest.agent_id.in_({run.agent_id for run in rows.runs})
    query = select(GatewayRequest).where(is_of_run, is_of_agent)
    query = query.order_by(GatewayRequest.asked_at.desc()).limit(MAX_ROWS)
    requests = (await session.scalars(query)).all()
    rows = replace(rows, messages=[*rows.messages, *starting], requests=requests)
    return build_steps(
        replace(
            rows,
            names=await _load_names(session, rows),
            approved_task_ids=await _load_approved_tasks(session, rows.approvals),
        )
    )


async def _list_messages(
    session: AsyncSession, owner: Board | Agent, where: ColumnElement[bool]
) -> Sequence[Message]:
    """Return the messages of a board, or of the board of an agent, in its organization.

    Ids of messages may come from a gateway, so without a board they do not prove access.
    """
    board_id = owner.id if isinstance(owner, Board) else owner.board_id
    query = select(Message).where(
        where,
        Message.organization_id == owner.organization_id,
        Message.board_id.is_not_distinct_from(board_id),
    )
    return (await session.scalars(query.order_by(Message.seq.desc()).limit(MAX_ROWS))).all()


async def _list_runs(
    session: AsyncSession,
    board_id: UUID | None,
    messages: Collection[Message],
    where: ColumnElement[bool],
) -> Sequence[Run]:
    """Return the runs that the messages started, and those that match, of agents of a board."""
    started = func.left(Run.run_id, MESSAGE_ID_LENGTH).in_([str(one.id) for one in messages])
    is_recipient = Run.agent_id.in_({one.agent_id for one in messages})
    query = select(Run).join(Agent, Agent.id == Run.agent_id)
    query = query.where(
        Agent.board_id.is_not_distinct_from(board_id), or_(where, is_recipient & started)
    )
    return (await session.scalars(query.order_by(Run.started_at.desc()).limit(MAX_ROWS))).all()


async def _list_approvals(
    session: AsyncSession, board_id: UUID | None, where: ColumnElement[bool]
) -> Sequence[Approval]:
    query = select(Approval).where(where, Approval.board_id == board_id)
    return (await session.scalars(query.order_by(Approval.created_at.desc()).limit(MAX_ROWS))).all()


async def _list_changes(
    session: AsyncSession, board_id: UUID | None, where: ColumnElement[bool]
) -> Sequence[Event]:
    query = select(Event).where(where, Event.board_id == board_id, Event.type.in_(CHANGES))
    return (await session.scalars(query.order_by(Event.created_at.desc()).limit(MAX_ROWS))).all()


async def _load_approved_tasks(
    session: AsyncSession, approvals: Collection[Approval]
) -> dict[UUID, UUID]:
    """Return the latest approved approval of each task."""
    approved = {
        one.id: one.decided_at or one.resolved_at
        for one in approvals
        if one.status is ApprovalStatus.APPROVED
    }
    query = select(ApprovalTask.task_id, ApprovalTask.approval_id)
    query = query.where(ApprovalTask.approval_id.in_(approved))
    rows = (await session.execute(query)).all()
    return {task_id: id for task_id, id in sorted(rows, key=lambda row: str(approved[row[1]]))}


async def _load_names(session: AsyncSession, rows: CauseRows) -> dict[UUID | None, str]:
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
    agents = await session.execute(select(Agent.id, Agent.name).where(Agent.id.in_(agent_ids)))
    users = await session.scalars(select(User).where(User.id.in_(user_ids)))
    return {**{id: name for id, name in agents}, **{one.id: one.display_name for one in users}}


def _end(run: Run) -> ColumnElement[bool] | object:
    return func.now() if run.ended_at is None else run.ended_at


def _parse_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
