"""Custom fields: values of restored tasks, number of statements, events and permissions."""

import pytest
from sqlalchemy import select, text

from core.errors import Forbidden, Invalid, NotFound
from core.paging import Paging
from models import CustomFieldValue, Event, EventType, FieldType
from services import custom_fields, tasks
from services.custom_fields.rules import find_value_error
from services.tasks import TaskCreate
from tests.support.statement_counter import count_statements


@pytest.fixture
async def field(session, world):
    """A custom field of Launch with the type text."""
    field, *bindings = world.make_custom_field()
    session.add_all([field, *bindings])
    await session.flush()
    return field


async def create_task(session, world, **values):
    draft = TaskCreate(title="Write", custom_field_values=values)
    return await tasks.create_task(session, world.alice, world.board, draft)


async def test_restoring_a_task_restores_its_values(session, world, field) -> None:
    task_id = (await create_task(session, world, size="L")).task.id
    await tasks.delete_task(session, world.alice, world.board, task_id)
    assert await session.scalar(select(CustomFieldValue)) is None
    restored = await tasks.restore_task(session, world.alice, world.board, task_id)
    assert restored.custom_field_values == {"size": "L"}


@pytest.mark.parametrize(
    "changes", [{"field_type": "integer"}, {"validation_regex": "[a-z]"}, {"board_ids": "garden"}]
)
async def test_values_that_became_invalid_are_not_restored(session, world, field, changes) -> None:
    task_id = (await create_task(session, world, size="L")).task.id
    await tasks.delete_task(session, world.alice, world.board, task_id)
    if "board_ids" in changes:
        changes = {"board_ids": [world.garden.id]}
    fields = custom_fields.CustomFieldUpdate.of(**changes)
    await custom_fields.update_custom_field(session, world.alice_member, field, fields)
    await tasks.restore_task(session, world.alice, world.board, task_id)
    assert await session.scalar(select(CustomFieldValue)) is None


async def test_a_task_deleted_before_values_existed_can_be_restored(session, world) -> None:
    task_id = (await create_task(session, world)).task.id
    await tasks.delete_task(session, world.alice, world.board, task_id)
    await session.execute(text("update trash set rows = rows - 'task_custom_field_values'"))
    restored = await tasks.restore_task(session, world.alice, world.board, task_id)
    assert restored.custom_field_values == {}


async def test_the_history_of_a_task_includes_its_values(session, world, field) -> None:
    task_id = (await create_task(session, world, size="M")).task.id
    board = world.board
    for value in ("L", "L", None):
        changes = {"custom_field_values": {"size": value}}
        await tasks.update_task(
            session, world.worker, board, task_id, tasks.TaskUpdate.of(**changes)
        )
    history = await tasks.list_history(session, board, task_id)
    changes_listed = [entry.changes for entry in history.entries[1:]]
    name = "custom_field_values.size"
    assert changes_listed == [[(name, "M", "L", "Size")], [], [(name, "L", None, "Size")]]


async def test_values_of_many_tasks_are_loaded_in_one_statement(session, world, field) -> None:
    for size in ("S", "M", "L"):
        await create_task(session, world, size=size)
    with count_statements(await session.connection()) as statements:
        found = await tasks.list_tasks(session, world.board, Paging())
    assert [one.custom_field_values for one in found.items] == [{"size": size} for size in "LMS"]
    assert len(statements) == 1


async def test_storing_any_number_of_values_takes_one_statement(session, world) -> None:
    keys = [f"key {number}" for number in range(20)]
    for key in keys:
        session.add_all(world.make_custom_field(field_key=key))
    await session.flush()
    task_id = (await create_task(session, world, **dict.fromkeys(keys, "S"))).task.id
    sent = []
    values = {key: None if number % 2 else "L" for number, key in enumerate(keys)}
    for changes in ({"title": "A"}, {"title": "B", "custom_field_values": values}):
        with count_statements(await session.connection()) as statements:
            await tasks.update_task(
                session, world.alice, world.board, task_id, tasks.TaskUpdate.of(**changes)
            )
        sent.append(len(statements))
    assert sent[1] == sent[0] + 1


async def test_creating_and_updating_a_field_takes_few_statements(session, world) -> None:
    draft = custom_fields.CustomFieldCreate(
        field_key="size", board_ids=[world.board.id], default_value="L"
    )
    with count_statements(await session.connection()) as statements:
        field, _ = await custom_fields.create_custom_field(session, world.alice_member, draft)
    assert len(statements) <= 6
    await create_task(session, world)
    changes = custom_fields.CustomFieldUpdate.of(
        board_ids=[world.garden.id], field_type="text_long", label="Extent"
    )
    with count_statements(await session.connection()) as statements:
        locked_field = await custom_fields.lock_custom_field(session, world.alice_member, field.id)
        await custom_fields.update_custom_field(session, world.alice_member, locked_field, changes)
    assert len(statements) <= 6


async def test_each_change_of_a_field_is_recorded_once(session, world) -> None:
    draft = custom_fields.CustomFieldCreate(field_key="size", board_ids=[world.board.id])
    field, _ = await custom_fields.create_custom_field(session, world.alice_member, draft)
    same = custom_fields.CustomFieldUpdate.of(label="size", board_ids=[world.board.id])
    await custom_fields.update_custom_field(session, world.alice_member, field, same)
    other = custom_fields.CustomFieldUpdate.of(label="Extent")
    await custom_fields.update_custom_field(session, world.alice_member, field, other)
    await custom_fields.delete_custom_field(session, world.alice_member, field)
    kinds = [EventType.CUSTOM_FIELD_CREATED, EventType.CUSTOM_FIELD_UPDATED]
    rows = (await session.scalars(select(Event).order_by(Event.seq))).all()
    assert [event.type for event in rows] == [*kinds, EventType.CUSTOM_FIELD_DELETED]
    assert [event.data["name"] for event in rows] == ["size", "Extent", "Extent"]
    assert rows[1].data["changes"] == {"label": ["size", "Extent"]}


async def test_only_admins_of_the_organization_can_change_a_field(session, world, field) -> None:
    draft = custom_fields.CustomFieldCreate(field_key="depth", board_ids=[world.board.id])
    with pytest.raises(Forbidden):
        await custom_fields.create_custom_field(session, world.bob_member, draft)
    with pytest.raises(Forbidden):
        await custom_fields.lock_custom_field(session, world.bob_member, field.id)
    with pytest.raises(NotFound):
        await custom_fields.lock_custom_field(session, world.charlie_member, field.id)


def test_an_error_about_unknown_keys_has_a_limited_size() -> None:
    with pytest.raises(Invalid) as error_info:
        custom_fields.check_values([], dict.fromkeys(["x" * 1_000_000, *map(str, range(10_000))]))
    assert len(str(error_info.value.details)) < 1_000


def test_null_is_valid_for_every_type() -> None:
    for type in FieldType:
        assert find_value_error(type, "x", None) is None
