"""Custom fields on the page of a task, in the form for a new task, and in the filter of a board."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import CustomField, CustomFieldValue, FieldType, Task, Visibility, new_id
from services import boards, tasks
from tests.support.shown_forms import form_of, shown
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Write")
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


@pytest.fixture
def new_path(world: World) -> str:
    return f"/boards/{world.board.id}/tasks"


@pytest.fixture
def add_field(world: World, transaction: TransactionFactory) -> Callable[..., Any]:
    """Return a function that creates a custom field of Launch and returns its input's name."""

    async def add(key: str = "size", value: Any = None, task: Task | None = None, **fields) -> str:
        field, binding = world.make_custom_field(field_key=key, label=key.title(), **fields)
        times = {"created_at": now(), "updated_at": now()}
        rows = [field, binding]
        async with transaction() as session:
            session.add_all(rows)
            if task is not None:
                task = await session.merge(task)
                stored = CustomFieldValue(id=new_id(), task=task, field=field, value=value, **times)
                session.add(stored)
        return f"field-{field.id}"

    return add


async def load_values(transaction: TransactionFactory) -> dict[str, Any]:
    """Return the stored values of all tasks by key."""
    query = select(CustomField.field_key, CustomFieldValue.value).join(CustomFieldValue.field)
    async with transaction() as session:
        return {key: value for key, value in await session.execute(query)}


def find_part(page: str, label: str) -> str:
    """Return the HTML of a field on the page of a task."""
    return page.split(f">{label}</dt>")[1].split("<dt", 1)[0]


@pytest.mark.parametrize("type", [FieldType.TEXT_LONG, FieldType.JSON])
async def test_a_long_text_suggests_people_and_tasks(
    alice, add_field, task_path, new_path, world, type
) -> None:
    name = await add_field(field_type=type)
    for path in (task_path, f"{new_path}/new"):
        box = re.search(rf'<textarea[^>]* name="{name}"[^>]*>', (await alice.get(path)).text)
        assert box
        assert (f'data-suggest="board={world.board.id}"' in box[0]) == (type is FieldType.TEXT_LONG)


async def test_visible_fields_are_shown_with_their_values(
    alice, rita, add_field, task, task_path
) -> None:
    await add_field("size", "<b>Large</b>", task, description="How big")
    await add_field("default", default_value="M")
    await add_field("empty")
    await add_field("seldom", ui_visibility=Visibility.IF_SET)
    await add_field("sometimes", "Now", task, ui_visibility=Visibility.IF_SET)
    await add_field("secret", "X-17", task, ui_visibility=Visibility.HIDDEN)
    for browser in (alice, rita):
        page = (await browser.get(task_path)).text
        assert "&lt;b&gt;Large&lt;/b&gt;" in find_part(page, "Size")
        assert "(default)" in find_part(page, "Default")
        assert "None" in find_part(page, "Empty")
        assert "Now" in find_part(page, "Sometimes")
        assert "X-17" not in page
    assert "Seldom" not in page
    assert "/fields" not in page
    page = (await alice.get(task_path)).text
    assert "1 field without a value" in page
    assert 'placeholder="M"' in find_part(page, "Default")
    assert "How big" in find_part(page, "Size")
    assert "Seldom" in page


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        (FieldType.TEXT_LONG, "a\nb", "a\nb"),
        (FieldType.INTEGER, 1234, "1,234"),
        (FieldType.DECIMAL, 1.5, "1.5"),
        (FieldType.BOOLEAN, False, "No"),
        (FieldType.DATE, "2026-12-24", "24 Dec 2026"),
        (FieldType.DATE, "9999-12-31", "31 Dec 9999"),
        (FieldType.DATE_TIME, "2026-12-24T18:30:00Z", "24 Dec 2026"),
        (FieldType.DATE_TIME, "2026-12-24", "24 Dec 2026"),
        (FieldType.DATE_TIME, "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        (FieldType.URL, "https://example.com/a", 'href="https://example.com/a"'),
        (FieldType.JSON, {"a": [1]}, "<code"),
    ],
)
async def test_a_value_is_shown_as_its_type_is_written(
    alice, add_field, task, task_path, type, value, text
) -> None:
    await add_field("size", value, task, field_type=type)
    assert text in find_part((await alice.get(task_path)).text, "Size")


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        (FieldType.TEXT, "Large", "Large"),
        (FieldType.TEXT_LONG, "a\r\nb", "a\nb"),
        (FieldType.INTEGER, "-3", -3),
        (FieldType.DECIMAL, "2.5", 2.5),
        (FieldType.DECIMAL, "2", 2),
        (FieldType.BOOLEAN, "false", False),
        (FieldType.DATE, "2026-12-24", "2026-12-24"),
        (FieldType.DATE_TIME, "2026-12-24T18:30", "2026-12-24T23:30:00Z"),
        (FieldType.DATE_TIME, "2026-12-24T18:30+01:00", "2026-12-24T18:30+01:00"),
        (FieldType.URL, "https://example.com", "https://example.com"),
        (FieldType.JSON, '{"a": null}', {"a": None}),
    ],
)
async def test_a_field_is_changed_on_the_task(
    alice, add_field, task_path, transaction, world, type, text, value
) -> None:
    async with transaction() as session:
        (await session.merge(world.alice)).timezone = "America/New_York"
    name = await add_field("size", field_type=type)
    await add_field("other", default_value="M")
    drawer = await alice.post(f"{task_path}/fields", data={name: text}, headers=IN_DRAWER)
    assert drawer.status_code == 200
    assert 'id="drawer"' in drawer.text
    assert await load_values(transaction) == {"size": value}
    answer = await alice.post(f"{task_path}/fields?view=list", data={name: ""})
    assert answer.headers["Location"] == f"{task_path}?view=list"
    assert await load_values(transaction) == {}


async def test_a_local_time_is_shown_again_in_its_field(
    alice, add_field, task, task_path, transaction, world
) -> None:
    async with transaction() as session:
        (await session.merge(world.alice)).timezone = "America/New_York"
    await add_field("size", "2026-12-24T23:30:00Z", task, field_type=FieldType.DATE_TIME)
    assert 'value="2026-12-24T18:30"' in (await alice.get(task_path)).text


@pytest.mark.parametrize(
    ("type", "text", "message"),
    [
        (FieldType.TEXT, "x" * 2_001, "Write at most 2,000 characters."),
        (FieldType.INTEGER, "1.5", "Write a whole number."),
        (FieldType.INTEGER, "1_0", "Write a whole number."),
        (FieldType.INTEGER, "9" * 20, "Write a number from -9,007,199,254,740,991 to"),
        (FieldType.DECIMAL, "nan", "Write a number."),
        (FieldType.DECIMAL, "1e999", "Write a number from"),
        (FieldType.BOOLEAN, "maybe", "Choose yes or no."),
        (FieldType.DATE, "24.12.", "Write a date like 2026-12-24."),
        (FieldType.DATE_TIME, "soon", "Write a date and a time"),
        (FieldType.URL, "javascript:alert(1)", "Write an address"),
        (FieldType.JSON, "{", "Write a JSON object or list"),
        (FieldType.JSON, "NaN", "Write a JSON object or list"),
    ],
)
async def test_an_invalid_value_is_explained_beside_its_field(
    alice, add_field, task_path, new_path, transaction, type, text, message
) -> None:
    name = await add_field("size", field_type=type)
    drawer = await alice.post(f"{task_path}/fields", data={name: text}, headers=IN_DRAWER)
    assert drawer.status_code == 422
    assert drawer.headers["HX-Retarget"] == f"#edit-{name}"
    [error] = re.findall(rf'id="task-{name}-error">.*?</p>', drawer.text, re.S)
    assert message in error
    assert f'id="edit-{name}" data-edit open' in drawer.text
    page = await alice.post(new_path, data={"title": "Write", name: text})
    assert page.status_code == 422
    [error] = re.findall(rf'id="new-{name}-error">.*?</p>', page.text, re.S)
    assert message in error
    assert await load_values(transaction) == {}


async def test_a_pattern_is_checked(alice, add_field, task_path) -> None:
    name = await add_field("size", validation_regex="[SML]")
    answer = await alice.post(f"{task_path}/fields", data={name: "XL"}, headers=IN_DRAWER)
    assert "This does not match the pattern of the field." in answer.text


async def test_a_required_value_is_missing_until_it_is_set(
    alice, rita, add_field, task, task_path, transaction
) -> None:
    size = await add_field("size", required=True)
    hidden = await add_field("area", required=True, ui_visibility=Visibility.HIDDEN)
    note = await add_field("note")
    for browser in (alice, rita):
        page = (await browser.get(task_path)).text
        assert "Missing" in find_part(page, "Size")
        assert "Missing" in find_part(page, "Area")
        assert "Missing" not in find_part(page, "Note").split("<form")[0]
    page = (await alice.get(task_path)).text
    assert find_part(page, "Note").count("<input") - page.count(f'name="shown.{note}"') == 7
    answer = await alice.post(f"{task_path}/fields", data={note: "Hm"}, headers=IN_DRAWER)
    assert answer.status_code == 422
    refused = find_part(answer.text, "Note")
    assert refused.count("Enter a value.") == 2
    assert 'value="Hm"' in refused
    for changes in ({"priority": "high"}, {"title": "Other"}):
        assert (await alice.post(f"{task_path}/changes", data=changes)).status_code == 303
    sent = {note: "Hm", size: "L", hidden: "North"}
    assert (await alice.post(f"{task_path}/fields", data=sent)).status_code == 303
    assert await load_values(transaction) == {"note": "Hm", "size": "L", "area": "North"}
    page = (await alice.get(task_path)).text
    assert "Missing" not in page
    assert "Area" not in page.split('id="conversation"')[0]


async def test_a_required_field_with_a_default_is_never_missing(
    alice, add_field, task_path, new_path
) -> None:
    await add_field("size", required=True, default_value="M")
    assert "Missing" not in (await alice.get(task_path)).text
    assert (await alice.post(new_path, data={"title": "Write"})).status_code == 303


async def test_a_new_task_has_the_values_of_its_form(
    alice, add_field, new_path, world, transaction
) -> None:
    size = await add_field("size", required=True)
    days = await add_field("days", field_type=FieldType.INTEGER, default_value=2)
    await add_field("secret", ui_visibility=Visibility.HIDDEN)
    for path in (f"{new_path}/new", f"/boards/{world.board.id}"):
        page = (await alice.get(path)).text
        assert f'id="new-{size}"' in page
        assert f'id="new-{days}"' in page
        assert "Secret" not in page
    refused = await alice.post(new_path, data={"title": "Write", size: " ", days: "5"})
    assert refused.status_code == 422
    [error] = re.findall(rf'id="new-{size}-error">.*?</p>', refused.text, re.S)
    assert "Enter a value." in error
    assert 'value="5"' in refused.text
    in_dialog = await alice.post(new_path, data={"title": "Write", days: "5"}, headers=HTMX)
    assert in_dialog.status_code == 422
    assert "Enter a value." in in_dialog.text
    created = await alice.post(new_path, data={"title": "Write", size: "L", days: ""}, headers=HTMX)
    assert created.status_code == 200
    assert await load_values(transaction) == {"size": "L", "days": 2}


async def test_others_cannot_change_fields(
    rita, charlie, alice, add_field, task_path, world, transaction
) -> None:
    name = await add_field("size")
    assert (await rita.post(f"{task_path}/fields", data={name: "L"})).status_code == 403
    assert (await charlie.post(f"{task_path}/fields", data={name: "L"})).status_code == 404
    nowhere = f"/boards/{world.board.id}/tasks/{new_id()}/fields"
    assert (await alice.post(nowhere, data={name: "L"})).status_code == 404
    await alice.post(f"{task_path}/fields", data={f"field-{new_id()}": "L", "field-x": "L"})
    assert await load_values(transaction) == {}


@pytest.mark.parametrize(
    ("type", "values", "texts"),
    [
        (FieldType.TEXT, ("S", "M", "L"), ("<mark>M</mark>", "<mark>L</mark>")),
        (FieldType.BOOLEAN, (None, True, False), ("Yes<small>", "No<small>")),
        (FieldType.INTEGER, (1, 2, 3), ("2<small>", "3<small>")),
    ],
)
async def test_a_value_that_others_have_changed_is_a_conflict(
    alice, add_field, task, task_path, transaction, world, type, values, texts
) -> None:
    first, theirs, mine = values
    name = await add_field("size", first, task, field_type=type)
    form = form_of((await alice.get(task_path)).text, name)
    async with transaction() as session:
        board = await boards.lock_board(session, world.bob, world.board.id)
        changes = {"custom_field_values": {"size": theirs}}
        await tasks.update_task(session, world.bob, board, task.id, tasks.TaskUpdate.of(**changes))
    untouched = form | {name: "" if first is None else str(first)}
    assert (await alice.post(f"{task_path}/fields", data=untouched)).status_code == 303
    assert await load_values(transaction) == {"size": theirs}
    sent = form | {name: str(mine).lower() if type is FieldType.BOOLEAN else str(mine)}
    for headers in ({}, IN_DRAWER):
        conflict = await alice.post(f"{task_path}/fields", data=sent, headers=headers)
        assert conflict.status_code == 409
        assert all(text in conflict.text for text in texts)
        assert "Size</" in conflict.text
        assert re.search(r"Changed by Bob[^<]* <time", conflict.text)
    assert await load_values(transaction) == {"size": theirs}
    again = sent | form_of(conflict.text, name) | {f"keep.{name}": "mine"}
    assert (await alice.post(f"{task_path}/fields", data=again)).status_code == 303
    assert await load_values(transaction) == {"size": mine}


async def test_the_history_names_a_field_by_its_label_while_it_exists(
    alice, add_field, task_path, task, transaction
) -> None:
    name = await add_field("effort", "1", task, field_type=FieldType.TEXT)
    await alice.post(f"{task_path}/fields", data={name: "2"})
    assert "changed the field “Effort”" in (await alice.get(task_path)).text

    async with transaction() as session:
        await session.execute(update(CustomField).values(label="Days of work"))
    assert "changed the field “Days of work”" in (await alice.get(task_path)).text

    async with transaction() as session:
        await session.execute(delete(CustomField))
    assert "changed the field “effort”" in (await alice.get(task_path)).text


async def test_a_label_of_a_user_is_not_translated(alice, add_field, task_path) -> None:
    name = await add_field("title")
    sent = shown(**{name: "Old"}) | {name: "Mine"}
    await alice.post(f"{task_path}/fields", data={name: "Theirs"})
    conflict = await alice.post(f"{task_path}/fields?lang=de", data=sent)
    assert ">Title</h2>" in conflict.text


async def test_a_required_field_left_blank_is_still_reported(alice, add_field, task_path) -> None:
    name = await add_field("size", required=True)
    form = form_of((await alice.get(task_path)).text, name)
    response = await alice.post(f"{task_path}/fields", data=form | {name: ""})
    assert response.status_code == 422
    assert "Enter a value." in response.text
