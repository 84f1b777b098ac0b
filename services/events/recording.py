"""Writing down what happened, and reading it again in order."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import CHANNEL
from models import Actor, Agent, Approval, Board, Event, EventType, Task, User, new_id

BATCH = 200  # events in one look


_WRITE = text("""
    with turn as materialized (
        select pg_advisory_xact_lock(hashtextextended(id, 0)), pg_notify(:channel, id)
        from unnest(cast(:organizations as text[])) as id
    )
    insert into activity_events (
        id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
        created_at
    )
    select
        id, type, organization_id, board_id, task_id, approval_id, agent_id, user_id, data,
        clock_timestamp()
    from jsonb_populate_recordset(null::activity_events, :rows) with ordinality
    where (select count(*) from turn) > 0
    order by ordinality
    returning seq, created_at
""").bindparams(bindparam("rows", type_=JSONB))
"""Waits for the turn of each organization, in order of id, and only then draws the numbers."""


@dataclass(frozen=True)
class Happened:
    """Something that happened, as `record` takes it. An id says the same as the row it is of."""

    type: EventType
    actor: Actor | None
    _: KW_ONLY
    organization_id: UUID
    board: Board | UUID | None = None
    task: Task | UUID | None = None
    approval: Approval | UUID | None = None
    about: Agent | UUID | None = None
    id: UUID | None = None
    data: Mapping[str, object] | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns of the event, but for its number and its time."""
        agent = self.about or (self.actor if isinstance(self.actor, Agent) else None)
        return {
            "id": self.id or new_id(),
            "type": self.type,
            "organization_id": self.organization_id,
            "board_id": _id(self.board),
            "task_id": _id(self.task),
            "approval_id": _id(self.approval),
            "agent_id": _id(agent),
            "user_id": self.actor.id if isinstance(self.actor, User) else None,
            "data": dict(self.data or {}),
        }


async def record(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    *,
    organization_id: UUID,
    board: Board | None = None,
    task: Task | None = None,
    approval: Approval | None = None,
    about: Agent | None = None,
    id: UUID | None = None,
    data: dict[str, object] | None = None,
) -> Event:
    """Write down what happened, and ring the organization's followers when the transaction commits.

    `about` is the agent to whom it happened, where that is not the one who acts. Call it last:
    from here to the commit no other transaction can record in the same organization, so numbers
    appear in order, and a follower that has read number 7 will never find a new number 6.
    """
    happened = Happened(
        type,
        actor,
        organization_id=organization_id,
        board=board,
        task=task,
        approval=approval,
        about=about,
        id=id,
        data=data,
    )
    [event] = await record_all(session, [happened])
    return event


async def record_all(session: AsyncSession, happened: Sequence[Happened]) -> list[Event]:
    """Write down all that happened, in this order, in one statement; else as `record` does."""
    await session.flush()
    if not happened:
        return []
    rows = [one.row() for one in happened]
    values = {
        "channel": CHANNEL,
        "organizations": sorted({str(one.organization_id) for one in happened}),
        "rows": [{name: _plain(value) for name, value in row.items()} for row in rows],
    }
    drawn = (await session.execute(_WRITE, values)).all()
    return [
        Event(**row, seq=seq, created_at=created_at)
        for row, (seq, created_at) in zip(rows, drawn, strict=True)
    ]


async def latest(session: AsyncSession, organization_id: UUID) -> int:
    """Return the number of the organization's last event, or 0."""
    newest = select(Event.seq).where(Event.organization_id == organization_id)
    return await session.scalar(newest.order_by(Event.seq.desc()).limit(1)) or 0


async def before(session: AsyncSession, organization_id: UUID, moment: datetime) -> int:
    """Return the number of the organization's last event before a moment, or 0."""
    earlier = select(Event.seq).where(
        Event.organization_id == organization_id, Event.created_at < moment
    )
    return await session.scalar(earlier.order_by(Event.seq.desc()).limit(1)) or 0


async def after(session: AsyncSession, organization_id: UUID, seq: int) -> Sequence[Event]:
    """Return the organization's first events after number `seq`, at most BATCH of them."""
    later = select(Event).where(Event.organization_id == organization_id, Event.seq > seq)
    return (await session.scalars(later.order_by(Event.seq).limit(BATCH))).all()


def _id(one: Agent | Approval | Board | Task | UUID | None) -> UUID | None:
    return one if one is None or isinstance(one, UUID) else one.id


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value
