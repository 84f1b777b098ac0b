"""Putting messages into the outbox, in the transaction of the change that they tell of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import ColumnElement, DateTime, String, Uuid, bindparam, func, literal, select
from sqlalchemy import column as named
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import (
    Actor,
    Agent,
    Approval,
    Board,
    EventType,
    Message,
    MessageState,
    Task,
    User,
    new_id,
)
from services import events


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message to be. Its content's first line is its kind, the marker that agents go by.

    `key` is one for each thing that is told: what is drafted again under the same key is not sent
    again. Without one, every draft is a message of its own. `told` and `failed` are recorded once
    the agent really has the message, or once nobody tries any more; `data` is what they tell of.
    """

    to: Agent
    kind: str
    content: str
    key: str | None = None
    board: Board | None = None
    task: Task | None = None
    approval: Approval | None = None
    sender: Actor | None = None
    deliver: bool = False  # say it out loud on the agent's channel: a gateway's word
    told: EventType | None = None
    failed: EventType | None = None
    data: Mapping[str, object] = field(default_factory=dict)


async def queue(session: AsyncSession, drafts: Sequence[Draft]) -> None:
    """Put messages into the outbox, and record that they wait. Call it last, as events.record.

    It is one INSERT however many they are. An agent that was deleted meanwhile gets none, and
    neither does one that has a message with the same key already.
    """
    written = await _write(session, drafts)
    for draft, message_id in written:
        await events.record(
            session,
            EventType.MESSAGE_QUEUED,
            draft.sender,
            organization_id=draft.to.organization_id,
            board=draft.board,
            task=draft.task,
            approval=draft.approval,
            about=draft.to,
            data={"message_id": str(message_id), "kind": draft.kind},
        )


async def _write(session: AsyncSession, drafts: Sequence[Draft]) -> list[tuple[Draft, UUID]]:
    """Insert the messages of those drafts that are news to an agent, and return them with ids."""
    by_id = {new_id(): draft for draft in drafts}
    if not by_id:
        return []
    rows = [{"place": place, **_row(*item)} for place, item in enumerate(by_id.items())]
    statement = insert(Message).from_select([*COLUMNS, *FIRST], _rows(rows))
    statement = statement.on_conflict_do_nothing(index_elements=["agent_id", "key"])
    inserted = set(await session.scalars(statement.returning(Message.id)))
    return [(draft, id) for id, draft in by_id.items() if id in inserted]


COLUMNS: Mapping[str, Any] = {
    "id": Uuid(),
    "organization_id": Uuid(),
    "agent_id": Uuid(),
    "board_id": Uuid(),
    "task_id": Uuid(),
    "approval_id": Uuid(),
    "kind": String(),
    "content": String(),
    "deliver": Message.deliver.type,
    "key": String(),
    "from_agent_id": Uuid(),
    "from_user_id": Uuid(),
    "told_as": JSONB(none_as_null=True),
    "created_at": DateTime(timezone=True),
}
"""What a draft decides of a message."""

FIRST: Mapping[str, ColumnElement[Any]] = {
    "state": literal(MessageState.QUEUED.value),
    "attempts": literal(0),
}
"""How every message begins."""


def _rows(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Select these rows in their order, but for those whose agent is gone.

    The agents are kept from being deleted until the commit.
    """
    whole = bindparam("rows", pydantic_core.to_jsonable_python(rows), type_=JSONB)
    given = [named("place", Message.attempts.type), *(named(n, t) for n, t in COLUMNS.items())]
    drafted = func.jsonb_to_recordset(whole).table_valued(*given, name="drafted")
    drafted = drafted.render_derived(with_types=True)
    query = select(*(drafted.c[name] for name in COLUMNS), *FIRST.values())
    query = query.join(Agent, Agent.id == drafted.c.agent_id).order_by(drafted.c.place)
    return query.with_for_update(read=True, key_share=True, of=Agent)


def _row(id: UUID, draft: Draft) -> dict[str, Any]:
    sender = draft.sender
    return {
        "id": id,
        "organization_id": draft.to.organization_id,
        "agent_id": draft.to.id,
        "board_id": draft.board.id if draft.board else None,
        "task_id": draft.task.id if draft.task else None,
        "approval_id": draft.approval.id if draft.approval else None,
        "kind": draft.kind,
        "content": draft.content,
        "deliver": draft.deliver,
        "key": draft.key or str(id),
        "from_agent_id": sender.id if isinstance(sender, Agent) else None,
        "from_user_id": sender.id if isinstance(sender, User) else None,
        "told_as": _told_as(draft),
        "created_at": now(),
    }


def _told_as(draft: Draft) -> dict[str, Any] | None:
    """Return what is to be recorded later, when it is known what has become of the message."""
    if draft.told is None and draft.failed is None:
        return None
    return {"told": draft.told, "failed": draft.failed, "data": dict(draft.data)}
