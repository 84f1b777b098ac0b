"""The hash chain of the audit in the database."""

import json
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from models import AuditRecord, EventType
from services import audit, events
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.events import NewEvent
from tests.support.world import World

ODD_TEXT = 'quotes " and \\ slashes, \x7f, \x1f, ümläut, 😀, \u2028, \ufeff'


async def list_chain(session: AsyncSession, organization_id: Any) -> list[AuditRecord]:
    query = select(AuditRecord).where(AuditRecord.organization_id == organization_id)
    return list((await session.scalars(query.order_by(AuditRecord.sequence))).all())


async def test_the_database_and_this_program_compute_the_same_hash(
    session: AsyncSession, world: World
) -> None:
    values = {
        "text": ODD_TEXT,
        "nested": {"b": [1, -5, True, None, {}], "a": {"ä": 1, "Z": 2, "z": 3, "é": []}},
        "fraction": 90.5,
        "whole": 90.0,
        "large": 2**60,
        "infinite": float("inf"),
        ODD_TEXT: "a name",
    }
    record = NewAuditRecord(
        AuditAction.TOKEN_CREATED,
        AuditObject("token", "mc_user_x", ODD_TEXT),
        organization_id=world.tern.id,
        actor=world.alice,
        after=values,
    )
    await audit.record_audit(session, [record])
    [stored] = await list_chain(session, world.tern.id)
    exported = json.loads(json.dumps(audit.to_export(stored)))
    assert audit.compute_hash(exported) == stored.hash
    assert stored.after is not None
    assert stored.after["fraction"] == "90.5"
    assert stored.after["whole"] == 90


async def test_records_of_one_statement_form_a_chain(session: AsyncSession, world: World) -> None:
    new_events = [
        NewEvent(EventType.TAG_CREATED, world.alice, organization_id=id, data={"name": str(n)})
        for n, id in enumerate([world.tern.id, world.plover.id, world.tern.id])
    ]
    await events.record_events(session, new_events)
    first, second = await list_chain(session, world.tern.id)
    assert (first.sequence, second.sequence) == (1, 2)
    assert first.previous_hash == "0" * 64
    assert second.previous_hash == first.hash
    assert (first.object_name, second.object_name) == ("0", "2")
    assert len(await list_chain(session, world.plover.id)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        update(AuditRecord).values(action="task.created"),
        delete(AuditRecord),
        text("truncate audit_records"),
    ],
    ids=["update", "delete", "truncate"],
)
async def test_a_record_is_never_changed_or_deleted(
    session: AsyncSession, world: World, statement: Any
) -> None:
    tag = NewEvent(EventType.TAG_CREATED, world.alice, organization_id=world.tern.id)
    await events.record_events(session, [tag])
    with pytest.raises(DBAPIError, match="never changed or deleted"):
        async with session.begin_nested():
            await session.execute(statement)
