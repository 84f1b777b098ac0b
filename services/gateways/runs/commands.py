"""Commands on runs: store what gateways report, mark lost runs, delete old ones."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Row,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.transactions import delete_unlocked
from models import (
    Agent,
    Event,
    EventType,
    Gateway,
    Message,
    Run,
    RunStatus,
    Status,
    Task,
    new_id,
)
from services import events, gateways, messages
from services.gateways.runs.queries import RunAgent
from services.gateways.runs.run_state import OPEN_STATUSES, RunState

LOST_AFTER = timedelta(minutes=3)  # without a sign of a running run
BATCH_SIZE = 500  # lost runs in one transaction

RUN_EVENTS = frozenset({EventType.RUN_STARTED, EventType.RUN_CHANGED, EventType.RUN_ENDED})
"""Events that only update open pages."""

IS_INSERTED: ColumnElement[bool] = literal_column("xmax = 0", Boolean)
"""Whether an upsert has inserted its row: no transaction has locked or changed it before."""

UPDATED_COLUMNS = ("status", "phase", "tool", "tool_title", "tool_calls", "tail", "tokens", "error")
UPDATED_COLUMNS += ("is_heartbeat", "updated_at", "ended_at")


async def upsert_runs(
    session: AsyncSession, gateway: Gateway, runs: Iterable[tuple[RunState, RunAgent]]
) -> None:
    """Store the states of runs, and record events. Runs that have ended stay unchanged.

    Runs of deleted agents are skipped: they were deleted with their agents.
    """
    by_id = {run.run_id: (run, agent) for run, agent in runs}
    task_of_agent = await _keep_agents(
        session, gateway.id, {agent.id for _, agent in by_id.values()}
    )
    by_id = {run_id: one for run_id, one in by_id.items() if one[1].id in task_of_agent}
    if not by_id:
        return
    message_ids = {messages.parse_message_id(run_id) for run_id in by_id} - {None}
    query = select(Message.agent_id, Message.id, Task.id).join(Task, Task.id == Message.task_id)
    found = await session.execute(query.where(Message.id.in_(message_ids)))
    task_of_message = {(agent_id, id): task_id for agent_id, id, task_id in found}
    rows = [
        _run_row(
            gateway,
            run,
            agent,
            task_of_message.get(
                (agent.id, messages.parse_message_id(run_id)), task_of_agent[agent.id]
            ),
        )
        for run_id, (run, agent) in by_id.items()
    ]
    written = await _write_rows(session, rows)
    new_events = [
        _run_event(gateway.organization_id, by_id[run_id][1], task_id, status, is_new=is_new)
        for run_id, task_id, status, is_new in written
    ]
    failed = {
        (by_id[run_id][1].id, task_id)
        for run_id, task_id, status, _ in written
        if status is RunStatus.FAILED
    }
    new_events += await messages.hold_failing_agents(session, failed)
    await events.record_events(session, new_events)


async def _write_rows(
    session: AsyncSession, rows: Sequence[dict[str, Any]]
) -> Sequence[Row[str, UUID | None, RunStatus, bool]]:
    """Insert or update runs; return id, task, status, and whether the row is new, of each."""
    statement = insert(Run).values(rows)
    new = {name: statement.excluded[name] for name in UPDATED_COLUMNS}
    task_id = func.coalesce(Run.task_id, statement.excluded.task_id)
    started_at = func.least(Run.started_at, statement.excluded.started_at)
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["gateway_id", "run_id"],
            set_=new | {"task_id": task_id, "started_at": started_at},
            where=Run.status.in_(OPEN_STATUSES),
        ).returning(Run.run_id, Run.task_id, Run.status, IS_INSERTED)
    )
    return result.all()


async def confirm_running(
    session: AsyncSession, gateway_id: UUID, run_ids: Collection[str]
) -> None:
    """Record that these runs are active, as their gateway says. It is not an event."""
    is_it = (Run.gateway_id == gateway_id) & Run.run_id.in_(run_ids)
    running = update(Run).where(is_it, Run.status == RunStatus.RUNNING)
    await session.execute(running.values(updated_at=now()))


def is_lost_condition(at: Any) -> ColumnElement[bool]:
    """Select the runs that had no sign for too long at a time, given as a value or expression."""
    return (Run.status == RunStatus.RUNNING) & (Run.updated_at < at - LOST_AFTER)


async def mark_lost_runs(session: AsyncSession) -> int:
    """Mark a batch of runs as lost that had no sign for too long; return their number.

    Any number of workers may call it, at any time. A lost run is continued when its gateway
    reports it again.
    """
    at = now()
    query = select(Run, Agent).join(Agent, Agent.id == Run.agent_id)
    query = query.where(is_lost_condition(at))
    query = query.order_by(Run.organization_id, Run.id).limit(BATCH_SIZE)
    found = (await session.execute(query.with_for_update(skip_locked=True, of=Run))).all()
    new_events = []
    for run, agent in found:
        minutes = round((at - run.updated_at) / timedelta(minutes=1))
        silence = "a minute" if minutes <= 1 else f"{minutes} minutes"
        run.status, run.ended_at = RunStatus.LOST, at
        run.error = f"Its gateway has not reported it for {silence}."
        run_agent = RunAgent(agent.id, "", agent.name, agent.board_id)
        new_events.append(_run_event(run.organization_id, run_agent, run.task_id, run.status))
    await events.record_events(session, new_events)
    return len(found)


async def delete_old_runs(session: AsyncSession, *, keep_days: int) -> int:
    """Delete a batch of the runs that ended `keep_days` ago, and of the events of running ones.

    Pages that reconnect within an hour read the events that they have missed. Events that an
    outgoing webhook has still to send are kept. It returns the number of rows.
    """
    at = now()
    is_old = Event.type.in_(RUN_EVENTS) & (Event.created_at < at - timedelta(hours=1))
    is_unsent = events.is_unsent(Event.organization_id)
    deleted = await delete_unlocked(session, Event, is_old & ~is_unsent)
    before = at - timedelta(days=keep_days)
    is_over = Run.status.in_([one for one in RunStatus if one is not RunStatus.RUNNING])
    is_over &= (Run.updated_at < before) & (Run.ended_at < before)  # an index has the former
    return deleted + await delete_unlocked(session, Run, is_over)


async def _keep_agents(
    session: AsyncSession, gateway_id: UUID, agent_ids: Collection[UUID]
) -> dict[UUID, UUID | None]:
    """Keep those of the agents that exist, and return the task that each has in progress."""
    task = (
        select(Task.id)
        .where(Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS)
        .order_by(Task.in_progress_at, Task.id)
        .limit(1)
    )
    query = gateways.build_kept_agents_query(gateway_id, Agent.id.in_(agent_ids))
    query = query.with_only_columns(Agent.id, task.scalar_subquery())
    return {agent_id: task_id for agent_id, task_id in await session.execute(query)}


def _run_row(
    gateway: Gateway, run: RunState, agent: RunAgent, task_id: UUID | None
) -> dict[str, Any]:
    tool = run.tool
    return {
        "id": new_id(),
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "agent_id": agent.id,
        "task_id": task_id,
        "run_id": run.run_id,
        "session_key": run.session_key,
        "is_heartbeat": run.is_heartbeat,
        "status": run.status,
        "phase": run.phase,
        "tool": tool.name if tool else None,
        "tool_title": tool.title if tool else None,
        "tool_calls": [asdict(call) for call in run.calls],
        "tail": run.tail,
        "tokens": run.tokens,
        "error": run.error,
        "started_at": run.started_at,
        "updated_at": now(),
        "ended_at": run.ended_at,
    }


def _run_event(
    organization_id: UUID,
    agent: RunAgent,
    task_id: UUID | None,
    status: RunStatus,
    *,
    is_new: bool = False,
) -> events.NewEvent:
    running = EventType.RUN_STARTED if is_new else EventType.RUN_CHANGED
    return events.NewEvent(
        running if status is RunStatus.RUNNING else EventType.RUN_ENDED,
        None,
        organization_id=organization_id,
        board=agent.board_id,
        task=task_id,
        subject=agent.id,
        data={"name": agent.name, "status": status.value},
    )
