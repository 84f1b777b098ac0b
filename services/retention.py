"""Delete events and messages that are older than the settings say: see docs/retention.md.

A pass looks at the old events of each organization in the order of their numbers, one batch in a
transaction. Its position is stored with each batch, so another process continues after a crash.
"""

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.db.transactions import DELETION_BATCH_SIZE, Write, delete_unlocked, lock_name
from models import (
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Comment,
    DeletedTask,
    Event,
    EventRetention,
    EventType,
    GatewaySkill,
    Message,
    MessageState,
    Organization,
    Status,
    Task,
    new_id,
)
from services import events

EVENTS_AT_ONCE = 100  # deleted in one transaction, for which writers of the organization wait
PASS_INTERVAL = timedelta(days=1)  # after the end of a pass, until the next one begins

_ORGANIZATION_ID = bindparam("organization_id", type_=Uuid())
_BEFORE = bindparam("before", type_=DateTime(timezone=True))


def _is_needed() -> ColumnElement[bool]:
    """Match old events that other reads still need."""
    newest = select(Event.seq).where(Event.organization_id == _ORGANIZATION_ID)
    of_work = select(Task.id).where(
        Task.id == Event.task_id,
        or_(Task.status != Status.DONE, Task.done_at.is_(None), Task.done_at >= _BEFORE),
    )
    undecided = Approval.status == ApprovalStatus.PENDING
    linked = select(ApprovalTask.id).join(Approval, Approval.id == ApprovalTask.approval_id)
    return or_(
        Event.type.in_(events.list_types(lambda entry: entry.is_kept)),
        # The age of the token of a gateway.
        (Event.type == EventType.GATEWAY_UPDATED) & Event.data["changed"].contains(["token"]),
        # The number after which a subscriber continues.
        Event.seq == newest.order_by(Event.seq.desc()).limit(1).scalar_subquery(),
        events.is_unsent(_ORGANIZATION_ID),
        # Whether an approval was given before the task was reopened, who wrote the description ….
        of_work.exists(),
        exists().where(DeletedTask.task_id == Event.task_id),
        exists().where(Comment.id == Event.id),
        # What was changed on the tasks of an approval that waits for a decision.
        exists().where(Approval.id == Event.approval_id, undecided),
        exists().where(Approval.task_id == Event.task_id, undecided),
        linked.where(ApprovalTask.task_id == Event.task_id, undecided).exists(),
    )


_DUE: Query[tuple[UUID, int]] = Query(
    select(Organization.id, func.coalesce(EventRetention.position, 0))
    .outerjoin(EventRetention, EventRetention.organization_id == Organization.id)
    .where(
        or_(
            EventRetention.completed_at.is_(None),
            EventRetention.completed_at < bindparam("completed_before"),
        )
    )
    .order_by(Organization.id)
    .limit(1)
)
"""Selects an organization with a pass that is due or in progress, and the position of the pass."""

_BATCH = (
    select(Event.id, Event.seq, Event.created_at)
    .where(Event.organization_id == _ORGANIZATION_ID, Event.seq > bindparam("position"))
    .order_by(Event.seq)
    .limit(bindparam("batch_size", type_=Integer()))
    .cte("batch")
    .prefix_with("materialized")
)
OLD_EVENTS: Query[tuple[UUID, int, bool]] = Query(
    select(Event.id, Event.seq, _is_needed())
    .join(_BATCH, _BATCH.c.id == Event.id)
    .where(Event.created_at < _BEFORE)
    .order_by(Event.seq)
)
"""Selects the next events of an organization that are old, and which of them are needed.

The limit precedes the conditions, so that the number of events that are read is bounded.
"""

_FREE = (
    select(Event.id)
    .where(Event.id == func.any(bindparam("ids", type_=ARRAY(Uuid()))))
    .with_for_update(skip_locked=True)
)
DELETE_EVENTS = Write(
    delete(Event).where(Event.id.in_(_FREE)).returning(Event.seq, Event.created_at)
)


async def delete_old_events(session: AsyncSession, *, keep_days: int) -> bool:
    """Delete a batch of events of one organization; return whether there is more to do.

    Nothing is deleted with `keep_days` 0. Writers of the organization wait from the deletion to the
    commit, as they wait for each other: it changes the same counters.
    """
    if not keep_days:
        return False
    due = await _DUE.first(session, completed_before=now() - PASS_INTERVAL)
    if due is None:
        return False
    organization_id, position = due
    place = {"organization_id": organization_id, "position": position}
    before = now() - timedelta(days=keep_days)
    old = await OLD_EVENTS.fetch(session, **place, before=before, batch_size=DELETION_BATCH_SIZE)
    chosen = {id: seq for id, seq, is_needed in old if not is_needed}
    if len(chosen) > EVENTS_AT_ONCE:
        chosen = dict(itertools.islice(chosen.items(), EVENTS_AT_ONCE))
        progress: dict[str, Any] = {"position": max(chosen.values())}
    elif len(old) == DELETION_BATCH_SIZE:
        progress = {"position": old[-1][1]}
    else:
        progress = {"position": 0, "completed_at": now()}
    deleted: list[tuple[int, datetime]] = []
    if chosen:
        await lock_name(session, str(organization_id))  # as those who record events
        deleted = [tuple(row) for row in await DELETE_EVENTS.execute(session, ids=[*chosen])]
    await _save_progress(session, organization_id, progress, deleted)
    return True


async def _save_progress(
    session: AsyncSession,
    organization_id: UUID,
    progress: dict[str, Any],
    deleted: list[tuple[int, datetime]],
) -> None:
    seq, at = max(deleted, default=(0, None))
    row = {"id": new_id(), "organization_id": organization_id, "completed_at": None, **progress}
    statement = insert(EventRetention).values(**row, deleted_seq=seq, deleted_at=at)
    added = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["organization_id"],
        set_={
            "position": added.position,
            "completed_at": added.completed_at,
            "deleted_seq": func.greatest(EventRetention.deleted_seq, added.deleted_seq),
            "deleted_at": func.greatest(EventRetention.deleted_at, added.deleted_at),
        },
    )
    await session.execute(statement)


async def delete_old_messages(session: AsyncSession, *, keep_days: int) -> int:
    """Delete a batch of the messages that ended `keep_days` ago; 0 days: none. Return their number.

    A message that requested a change of skills is kept as long as its result is shown.
    """
    if not keep_days:
        return 0
    before = now() - timedelta(days=keep_days)
    is_over = and_(
        Message.state.in_([MessageState.ACKNOWLEDGED, MessageState.FAILED]),
        Message.waiting_since < before,  # an index has it
        func.coalesce(Message.acknowledged_at, Message.waiting_since) < before,
        ~exists().where(GatewaySkill.message_id == Message.id),
    )
    return await delete_unlocked(session, Message, is_over)
