"""The list of custom fields, and the forms that change them."""

import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import BoardCustomField, CustomField, CustomFieldValue, FieldType, Visibility, new_id
from tests.support.board_rows import make_custom_field, make_task
from tests.support.shown_forms import form_of
from tests.support.world import World

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def field(world: World, transaction: TransactionFactory) -> CustomField:
    """Create the field Size of Launch and Garden."""
    rows = make_custom_field(world.board, world.garden, description="How big it is")
    async with transaction() as session:
        session.add_all(rows)
    return rows[0]


@pytest.fixture
def field_path(field: CustomField) -> str:
    return f"/fields/{field.id}"


@pytest.fixture
def new(world: World) -> dict[str, Any]:
    """Return the values of the form for a new field."""
    return {
        "field_key": "effort",
        "label": "Effort",
        "field_type": "integer",
        "ui_visibility": "if_set",
        "default_value": "3",
        "description": "In days",
        "board_ids": [str(world.board.id)],
    }


async def load_field(transaction: TransactionFactory, key: str) -> tuple[CustomField, set[Any]]:
    async with transaction() as session:
        field = (await session.scalars(select(CustomField).filter_by(field_key=key))).one()
        bound = select(BoardCustomField.board_id).filter_by(
            task_custom_field_definition_id=field.id
        )
        return field, set(await session.scalars(bound))


async def add_value(transaction: TransactionFactory, world: World, field: CustomField) -> None:
    times = {"created_at": now(), "updated_at": now()}
    async with transaction() as session:
        task = make_task(world.board, "Valued")
        session.add(task)
        field = await session.merge(field)
        session.add(CustomFieldValue(id=new_id(), task=task, field=field, value="L", **times))


async def test_admins_see_the_fields_of_their_organization(alice, dana, charlie, field) -> None:
    page = (await alice.get("/fields")).text
    assert "How big it is" in page
    assert "Garden, Launch" in page
    page = (await dana.get("/fields")).text
    assert "Size" in page
    assert "2 boards" in page
    assert "No task fields yet." in (await charlie.get("/fields")).text
    part = (await alice.get("/fields?sort=-type", headers=HTMX)).text
    assert "<html" not in part
    assert 'aria-sort="descending"' in part


async def test_members_and_strangers_change_no_fields(
    bob, rita, charlie, field, field_path, new, transaction
) -> None:
    for browser in (bob, rita):
        for path in ("/fields", "/fields/new", f"{field_path}/edit"):
            assert (await browser.get(path)).status_code == 403
        for path in ("/fields", f"{field_path}/edit", f"{field_path}/deletions"):
            assert (await browser.post(path, data=new)).status_code == 403
    assert (await charlie.get(f"{field_path}/edit")).status_code == 404
    for path in ("/edit", "/deletions"):
        assert (await charlie.post(field_path + path, data=new)).status_code == 404
    assert (await charlie.post("/fields", data=new)).status_code == 422
    assert (await load_field(transaction, "size"))[0].label == "Size"


async def test_an_admin_creates_a_field(alice, new, transaction, world) -> None:
    page = (await alice.get("/fields/new")).text
    assert len(re.findall("<option value", page)) == len(FieldType) + len(Visibility)
    answer = await alice.post("/fields", data=new | {"required": "true"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/fields")
    field, board_ids = await load_field(transaction, "effort")
    assert (field.label, field.field_type, field.ui_visibility) == ("Effort", "integer", "if_set")
    assert (field.default_value, field.required, field.description) == (3, True, "In days")
    assert board_ids == {world.board.id}


async def test_a_field_without_a_label_is_named_after_its_key(alice, new, transaction) -> None:
    assert (await alice.post("/fields", data=new | {"label": ""})).status_code == 303
    assert (await load_field(transaction, "effort"))[0].label == "effort"


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("text", " L ", " L "),
        ("text_long", "a\nb", "a\nb"),
        ("decimal", "2.50", 2.5),
        ("boolean", "True", True),
        ("date", "2026-12-24", "2026-12-24"),
        ("date_time", "2026-12-24T18:30:00Z", "2026-12-24T18:30:00Z"),
        ("url", " https://example.com ", "https://example.com"),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("json", f"{'[' * 59}1{']' * 59}", json.loads(f"{'[' * 59}1{']' * 59}")),
        ("integer", "", None),
    ],
)
async def test_a_default_value_has_the_type_of_its_field(
    alice, new, transaction, type, text, value
) -> None:
    sent = new | {"field_type": type, "default_value": text}
    assert (await alice.post("/fields", data=sent)).status_code == 303
    field, _ = await load_field(transaction, "effort")
    assert field.default_value == value
    page = (await alice.get(f"/fields/{field.id}/edit")).text
    [shown] = re.findall(r'name="default_value".*?>\n(.*?)</', page, re.S)
    again = sent | {"default_value": shown.replace("&#34;", '"')}
    assert (await alice.post(f"/fields/{field.id}/edit", data=again)).status_code == 303
    assert (await load_field(transaction, "effort"))[0].default_value == value


@pytest.mark.parametrize(
    ("sent", "field_name", "message"),
    [
        ({"field_key": "", "label": ""}, "label", "Enter a value."),
        ({"field_key": "", "label": "工作量"}, "field_key", "no letters from a to z"),
        ({"field_key": "Effort Points!"}, "field_key", "Use lower-case letters"),
        ({"field_key": "2nd"}, "field_key", "begin with a letter"),
        ({"field_key": "size"}, "field_key", "Another field has this key."),
        ({"label": "x" * 201}, "label", "At most 200"),
        ({"field_type": "colour"}, "field_type", "Choose one of the types."),
        ({"ui_visibility": "often"}, "ui_visibility", "Choose one"),
        ({"validation_regex": "x"}, "validation_regex", "Only texts"),
        ({"validation_regex": "(", "field_type": "text"}, "validation_regex", "RE2"),
        ({"default_value": "three"}, "default_value", "Write a whole number."),
        ({"default_value": "9" * 30}, "default_value", "Write a whole number."),
        ({"default_value": "x", "field_type": "decimal"}, "default_value", "Write a number."),
        ({"default_value": "x", "field_type": "boolean"}, "default_value", "Choose yes or no."),
        ({"default_value": "x", "field_type": "date"}, "default_value", "Write a date"),
        ({"default_value": "x", "field_type": "date_time"}, "default_value", "Write a date and"),
        ({"default_value": "x", "field_type": "url"}, "default_value", "Write an address"),
        ({"default_value": "[" * 9_999, "field_type": "json"}, "default_value", "Write a JSON"),
        (
            {"default_value": "[" * 61 + "]" * 61, "field_type": "json"},
            "default_value",
            "Write a JSON",
        ),
        (
            {"default_value": "x", "field_type": "text", "validation_regex": "y"},
            "default_value",
            "does not match the pattern",
        ),
        ({"description": "x" * 20_001}, "description", "20,000"),
        ({"board_ids": []}, "boards", "Choose at least one board."),
        ({"board_ids": [str(new_id())]}, "boards", "Some of these boards"),
    ],
)
async def test_an_error_is_shown_beside_its_field(
    alice, new, field, transaction, sent: dict[str, Any], field_name: str, message: str
) -> None:
    answer = await alice.post("/fields", data=new | sent)
    assert answer.status_code in (409, 422)
    id = "boards-error" if field_name == "boards" else f"field-{field_name}-error"
    [error] = re.findall(rf'id="{id}">.*?</p>', answer.text, re.S)
    assert message in error
    if "field_key" not in sent:
        changed = await alice.post(f"/fields/{field.id}/edit", data=new | sent)
        assert f'id="{id}"' in changed.text
    assert (await load_field(transaction, "size"))[0].field_type == "text"


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("Effort Points!", "effort_points"),
        ("  Größe der Äpfel (2.) ", "grosse_der_apfel_2"),
        ("2nd review", "nd_review"),
        ("Café\u0301 ½", "cafe_12"),
    ],
)
async def test_a_blank_key_is_derived_from_the_name(
    alice, new, transaction, label: str, key: str
) -> None:
    answer = await alice.post("/fields", data=new | {"field_key": "", "label": label})
    assert answer.status_code == 303
    field, _ = await load_field(transaction, key)
    assert field.label == label.strip()
    assert f">{key}<" in (await alice.get("/fields")).text


async def test_an_admin_changes_a_field_but_not_its_key(
    alice, field_path, new, transaction, world
) -> None:
    page = (await alice.get(f"{field_path}/edit")).text
    assert 'name="field_key"' not in page
    assert len(re.findall(r"data-picked=", page)) == 2
    answer = await alice.post(f"{field_path}/edit", data=new)
    assert answer.headers["Location"] == "/fields"
    field, board_ids = await load_field(transaction, "size")
    assert (field.label, field.field_type) == ("Effort", "integer")
    assert board_ids == {world.board.id}


async def test_a_board_that_gets_the_field_meanwhile_keeps_it(
    alice, field, field_path, transaction, world
) -> None:
    own = form_of((await alice.get(f"{field_path}/edit")).text, "board_ids")
    del own["form_id"], own["form_origin"]
    own |= {"label": "Size", "field_type": "text", "ui_visibility": "always"}
    boards = [str(world.board.id), str(world.garden.id)]
    answer = await alice.post(f"{field_path}/edit", data=own | {"board_ids": boards[:1]})
    assert answer.status_code == 303
    answer = await alice.post(f"{field_path}/edit", data=own | {"board_ids": boards, "label": "X"})
    assert answer.status_code == 303
    assert (await load_field(transaction, "size"))[1] == {world.board.id}
    stale = await alice.post(f"{field_path}/edit", data=own | {"board_ids": boards[1:]})
    assert stale.status_code == 409
    assert "Garden" in stale.text
    typed = {"board_ids": boards[:1], "field_type": "text_long", "default_value": "L"}
    assert (await alice.post(f"{field_path}/edit", data=own | typed)).status_code == 303
    changed, _ = await load_field(transaction, "size")
    assert (changed.label, changed.field_type, changed.default_value) == ("X", "text_long", "L")


async def test_boards_that_an_admin_cannot_read_keep_the_field(
    dana, bob, field_path, new, transaction, world
) -> None:
    page = (await dana.get(f"{field_path}/edit")).text
    assert "2 more boards have this field." in page
    sent = {**new, "board_ids": []}
    assert (await dana.post(f"{field_path}/edit", data=sent)).status_code == 303
    assert (await load_field(transaction, "size"))[1] == {world.board.id, world.garden.id}


async def test_a_type_that_stored_values_do_not_match_is_refused(
    alice, field, field_path, new, transaction, world
) -> None:
    await add_value(transaction, world, field)
    answer = await alice.post(f"{field_path}/edit", data=new)
    assert answer.status_code == 409
    assert "Values of tasks would no longer be valid: " in answer.text


async def test_a_field_without_values_is_deleted(alice, field_path, transaction) -> None:
    assert "No task has a value for this field." in (await alice.get(f"{field_path}/edit")).text
    answer = await alice.post(f"{field_path}/deletions")
    assert answer.headers["Location"] == "/fields"
    assert (await alice.get(f"{field_path}/edit")).status_code == 404
    assert (await alice.post(f"{field_path}/deletions")).status_code == 404


async def test_a_field_with_values_is_not_deleted(
    alice, field, field_path, transaction, world
) -> None:
    await add_value(transaction, world, field)
    page = (await alice.get(f"{field_path}/edit")).text
    assert "1 task has a value for this field." in page
    assert 'action="/fields/' in page
    assert "/deletions" not in page
    answer = await alice.post(f"{field_path}/deletions")
    assert answer.status_code == 409
    assert "1 task has a value for this field." in answer.text
    await load_field(transaction, "size")
