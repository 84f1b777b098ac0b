"""Writing down runs, while they go on and when they are over."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
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
from services import events
from services.runs.live import Live

LOST_AFTER = timedelta(minutes=3)  # in which nobody has told that a run goes on
KEPT = timedelta(days=30)  # for which runs are remembered
EVENTS_KEPT = timedelta(hours=1)  # how long pages may find out what they missed
BATCH = 500  # runs that are given up in one transaction

EVENTS = frozenset({EventType.RUN_STARTED, EventType.RUN_CHANGED, EventType.RUN_ENDED})
"""What is recorded of runs: for pages that are open, and of no interest in a feed."""

OPEN = (RunStatus.RUNNING, RunStatus.LOST)
"""What may still turn out otherwise. An end is an end."""

IS_NEW: ColumnElement[bool] = literal_column("xmax = 0", Boolean)
"""Whether an upsert has made a row: nobody has ever locked or changed it."""

CHANGING = ("status", "phase", "tool", "tool_title", "tool_calls", "tail", "tokens", "error")
CHANGING += ("is_heartbeat", "updated_at", "ended_at")


@dataclass(frozen=True)
class Runner:
    """An agent of ours on a gateway, as far as runs need to know it."""

    id: UUID
    key: str
    name: str
    board_id: UUID | None


async def runners(session: AsyncSession, gateway_id: UUID) -> dict[str, Runner]:
    """Return our agents on a gateway, by the names under which it knows them."""
    key = func.split_part(Agent.openclaw_session_id, ":", 2)
    query = select(Agent.id, key, Agent.name, Agent.board_id)
    query = query.where(Agent.gateway_id == gateway_id, key != "").order_by(Agent.created_at.desc())
    return {row[1]: Runner(*row) for row in await session.execute(query)}


async def open_runs(
    session: AsyncSession, gateway_id: UUID, run_ids: Collection[str] | None = None
) -> Sequence[Run]:
    """Return a gateway's runs that go on for all we know, oldest first, or those of some ids."""
    query = select(Run).where(Run.gateway_id == gateway_id)
    if run_ids is None:
        query = query.where(Run.status == RunStatus.RUNNING).order_by(Run.started_at, Run.id)
    else:
        query = query.where(Run.run_id.in_(run_ids))
    return (await session.scalars(query)).all()


async def write(
    session: AsyncSession, gateway: Gateway, lives: Iterable[tuple[Live, Runner]]
) -> None:
    """Write down how runs stand, and tell it to pages. What is over stays as it was.

    Runs of agents that are gone by now are left out: they went with their agents.
    """
    found = {live.run_id: (live, runner) for live, runner in lives}
    in_hand = await _in_hand(session, {runner.id for _, runner in found.values()})
    found = {run_id: one for run_id, one in found.items() if one[1].id in in_hand}
    if not found:
        return
    told = await _told_of(session, found)
    rows = [
        _row(gateway, live, runner, told.get((runner.id, _id(run_id)), in_hand[runner.id]))
        for run_id, (live, runner) in found.items()
    ]
    statement = insert(Run).values(rows)
    new = {name: statement.excluded[name] for name in CHANGING}
    task_id = func.coalesce(Run.task_id, statement.excluded.task_id)
    started_at = func.least(Run.started_at, statement.excluded.started_at)
    written = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["gateway_id", "run_id"],
            set_=new | {"task_id": task_id, "started_at": started_at},
            where=Run.status.in_(OPEN),
        ).returning(Run.run_id, Run.task_id, Run.status, IS_NEW)
    )
    facts = [
        _told(gateway.organization_id, found[run_id][1], task_id, status, is_new=is_new)
        for run_id, task_id, status, is_new in written
    ]
    await events.record_all(session, facts)


async def confirm(session: AsyncSession, gateway_id: UUID, run_ids: Collection[str]) -> None:
    """Note that these runs go on: their gateway says so. That is no event."""
    mine = (Run.gateway_id == gateway_id) & Run.run_id.in_(run_ids)
    going_on = update(Run).where(mine, Run.status == RunStatus.RUNNING)
    await session.execute(going_on.values(updated_at=now()))


async def lose(session: AsyncSession, *, after: timedelta = LOST_AFTER) -> int:
    """Give up those runs of which nobody has told anything for too long, some hundreds at a time.

    It may run as often as one likes, and in several workers at once. A run that was given up is
    taken up again when its gateway tells of it.
    """
    at = now()
    query = select(Run, Agent).join(Agent, Agent.id == Run.agent_id)
    query = query.where(Run.status == RunStatus.RUNNING, Run.updated_at < at - after)
    query = query.order_by(Run.organization_id, Run.id).limit(BATCH)
    found = (await session.execute(query.with_for_update(skip_locked=True, of=Run))).all()
    for run, _ in found:
        run.status, run.ended_at = RunStatus.LOST, at
        run.error = f"Its gateway has told nothing of it for {_minutes(at - run.updated_at)}."
    facts = [
        _told(
            run.organization_id,
            Runner(agent.id, "", agent.name, agent.board_id),
            run.task_id,
            run.status,
        )
        for run, agent in found
    ]
    await events.record_all(session, facts)
    return len(found)


async def forget(session: AsyncSession) -> None:
    """Forget runs that have been over for long, and what pages were told of their steps."""
    at = now()
    steps = delete(Event).where(Event.type.in_(EVENTS), Event.created_at < at - EVENTS_KEPT)
    await session.execute(steps)
    await session.execute(delete(Run).where(Run.ended_at < at - KEPT))


async def _in_hand(session: AsyncSession, agent_ids: Collection[UUID]) -> dict[UUID, UUID | None]:
    """Return which task each of these agents has in hand, of those that are still there.

    None of them goes before the transaction is over.
    """
    task = (
        select(Task.id)
        .where(Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS)
        .order_by(Task.in_progress_at, Task.id)
        .limit(1)
    )
    there = select(Agent.id, task.scalar_subquery()).where(Agent.id.in_(agent_ids))
    held = there.order_by(Agent.id).with_for_update(read=True, key_share=True, of=Agent)
    return {agent_id: task_id for agent_id, task_id in await session.execute(held)}


async def _told_of(
    session: AsyncSession, run_ids: Iterable[str]
) -> dict[tuple[UUID, UUID | None], UUID]:
    """Return of which tasks the messages tell that have begun runs, by agent and message."""
    query = select(Message.agent_id, Message.id, Task.id).join(Task, Task.id == Message.task_id)
    query = query.where(Message.id.in_({_id(one) for one in run_ids} - {None}))
    return {(agent_id, id): task_id for agent_id, id, task_id in await session.execute(query)}


def _id(text: str) -> UUID | None:
    """Return the message that has begun a run: its id is how the gateway calls the run."""
    try:
        return UUID(text.partition(".")[0])
    except ValueError:
        return None


def _row(gateway: Gateway, live: Live, runner: Runner, task_id: UUID | None) -> dict[str, Any]:
    tool = live.tool
    return {
        "id": new_id(),
        "organization_id": gateway.organization_id,
        "gateway_id": gateway.id,
        "agent_id": runner.id,
        "task_id": task_id,
        "run_id": live.run_id,
        "session_key": live.session_key,
        "is_heartbeat": live.is_heartbeat,
        "status": live.status,
        "phase": live.phase,
        "tool": tool.name if tool else None,
        "tool_title": tool.title if tool else None,
        "tool_calls": [asdict(call) for call in live.calls],
        "tail": live.tail,
        "tokens": live.tokens,
        "error": live.error,
        "started_at": live.started_at,
        "updated_at": now(),
        "ended_at": live.ended_at,
    }


def _told(
    organization_id: UUID,
    runner: Runner,
    task_id: UUID | None,
    status: RunStatus,
    *,
    is_new: bool = False,
) -> events.Happened:
    going_on = EventType.RUN_STARTED if is_new else EventType.RUN_CHANGED
    return events.Happened(
        going_on if status is RunStatus.RUNNING else EventType.RUN_ENDED,
        None,
        organization_id=organization_id,
        board=runner.board_id,
        task=task_id,
        about=runner.id,
        data={"name": runner.name, "status": status.value},
    )


def _minutes(time: timedelta) -> str:
    minutes = round(time / timedelta(minutes=1))
    return "a minute" if minutes <= 1 else f"{minutes} minutes"
