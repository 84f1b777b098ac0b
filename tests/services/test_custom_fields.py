"""Custom fields: what is kept when tasks go and come back, and what it costs."""

import pytest
from sqlalchemy import select, text

from kit.errors import Forbidden, Invalid, NotFound
from kit.paging import Paging
from models import CustomFieldValue, Event, EventType, FieldType
from services import custom_fields, tasks
from services.custom_fields.values import fault
from services.tasks import TaskDraft
from tests.services.test_task_reading import counting


@pytest.fixture
async def field(session, world):
    """A field of tasks of Launch, which takes any text."""
    field, *bindings = world.field()
    session.add_all([field, *bindings])
    await session.flush()
    return field


async def a_task(session, world, **values):
    draft = TaskDraft(title="Write", custom_field_values=values)
    return await tasks.create(session, world.alice, world.board, draft)


async def test_a_task_that_is_brought_back_holds_what_it_held(session, world, field) -> None:
    task_id = (await a_task(session, world, size="L")).task.id
    await tasks.delete(session, world.alice, world.board, task_id)
    assert await session.scalar(select(CustomFieldValue)) is None
    back = await tasks.restore(session, world.alice, world.board, task_id)
    assert back.custom_field_values == {"size": "L"}


@pytest.mark.parametrize(
    "changes", [{"field_type": "integer"}, {"validation_regex": "[a-z]"}, {"board_ids": "garden"}]
)
async def test_what_does_not_fit_any_more_does_not_come_back(
    session, world, field, changes
) -> None:
    task_id = (await a_task(session, world, size="L")).task.id
    await tasks.delete(session, world.alice, world.board, task_id)
    if "board_ids" in changes:
        changes = {"board_ids": [world.garden.id]}
    await custom_fields.change(session, world.alices, field, changes)
    await tasks.restore(session, world.alice, world.board, task_id)
    assert await session.scalar(select(CustomFieldValue)) is None


async def test_a_task_deleted_before_there_were_values_comes_back(session, world) -> None:
    task_id = (await a_task(session, world)).task.id
    await tasks.delete(session, world.alice, world.board, task_id)
    await session.execute(text("update trash set rows = rows - 'task_custom_field_values'"))
    back = await tasks.restore(session, world.alice, world.board, task_id)
    assert back.custom_field_values == {}


async def test_the_history_of_a_task_tells_of_its_values(session, world, field) -> None:
    task_id = (await a_task(session, world, size="M")).task.id
    board = world.board
    for value in ("L", "L", None):
        changes = {"custom_field_values": {"size": value}}
        await tasks.change(session, world.worker, board, task_id, changes)
    told = [entry.changes for entry in await tasks.history(session, board, task_id)][1:]
    name = "custom_field_values.size"
    assert told == [[(name, "M", "L")], [], [(name, "L", None)]]


async def test_values_of_many_tasks_are_read_in_one_statement(session, world, field) -> None:
    for size in ("S", "M", "L"):
        await a_task(session, world, size=size)
    with counting(await session.connection()) as statements:
        found = await tasks.listed(session, world.board, Paging())
    assert [one.custom_field_values["size"] for one in found.items] == ["L", "M", "S"]
    assert len(statements) == 1


async def test_values_cost_a_change_one_statement_however_many_they_are(session, world) -> None:
    keys = [f"key {number}" for number in range(20)]
    for key in keys:
        session.add_all(world.field(field_key=key))
    await session.flush()
    task_id = (await a_task(session, world, **dict.fromkeys(keys, "S"))).task.id
    sent = []
    values = {key: None if number % 2 else "L" for number, key in enumerate(keys)}
    for changes in ({"title": "A"}, {"title": "B", "custom_field_values": values}):
        with counting(await session.connection()) as statements:
            await tasks.change(session, world.alice, world.board, task_id, changes)
        sent.append(len(statements))
    assert sent[1] == sent[0] + 1


async def test_defining_and_changing_a_field_takes_few_statements(session, world) -> None:
    draft = custom_fields.FieldDraft(
        field_key="size", board_ids=[world.board.id], default_value="L"
    )
    with counting(await session.connection()) as statements:
        field, _ = await custom_fields.create(session, world.alices, draft)
    assert len(statements) <= 6
    await a_task(session, world)
    changes = {"board_ids": [world.garden.id], "field_type": "text_long", "label": "Extent"}
    with counting(await session.connection()) as statements:
        held = await custom_fields.hold(session, world.alices, field.id)
        await custom_fields.change(session, world.alices, held, changes)
    assert len(statements) <= 6


async def test_what_happens_to_a_field_is_written_down_once(session, world) -> None:
    draft = custom_fields.FieldDraft(field_key="size", board_ids=[world.board.id])
    field, _ = await custom_fields.create(session, world.alices, draft)
    same = {"label": "size", "board_ids": [world.board.id]}
    await custom_fields.change(session, world.alices, field, same)
    await custom_fields.change(session, world.alices, field, {"label": "Extent"})
    await custom_fields.delete(session, world.alices, field)
    kinds = [EventType.CUSTOM_FIELD_CREATED, EventType.CUSTOM_FIELD_UPDATED]
    rows = (await session.scalars(select(Event).order_by(Event.seq))).all()
    assert [event.type for event in rows] == [*kinds, EventType.CUSTOM_FIELD_DELETED]
    assert [event.data["name"] for event in rows] == ["size", "Extent", "Extent"]
    assert rows[1].data["changes"] == {"label": ["size", "Extent"]}


async def test_only_admins_of_the_organization_change_a_field(session, world, field) -> None:
    draft = custom_fields.FieldDraft(field_key="depth", board_ids=[world.board.id])
    with pytest.raises(Forbidden):
        await custom_fields.create(session, world.bobs, draft)
    with pytest.raises(Forbidden):
        await custom_fields.hold(session, world.bobs, field.id)
    with pytest.raises(NotFound):
        await custom_fields.hold(session, world.charlies, field.id)


def test_who_sends_nothing_but_unknown_keys_does_not_get_all_of_them_back() -> None:
    with pytest.raises(Invalid) as refused:
        custom_fields.check([], dict.fromkeys(["x" * 1_000_000, *map(str, range(10_000))]))
    assert len(str(refused.value.details)) < 1_000


def test_nothing_always_fits() -> None:
    for type in FieldType:
        assert fault(type, "x", None) is None
