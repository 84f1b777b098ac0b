"""The contract's checklist (people-and-boards 7), 43: custom fields, and who defines them."""

from typing import Any

import pytest

from models import new_id
from tests.api.conftest import Client
from tests.contract.fields import FIELDS, defined
from tests.world import World


async def test_a_field_is_all_that_was_said_of_it(
    alice: Client, world: World, on_launch: dict[str, Any]
) -> None:
    """3.5."""
    field = await defined(alice, on_launch, field_key=" Size ")
    assert field == {
        "id": field["id"],
        "organization_id": str(world.tern.id),
        "field_key": "Size",
        "label": "Size",
        "field_type": "text",
        "ui_visibility": "always",
        "validation_regex": None,
        "description": None,
        "required": False,
        "default_value": None,
        "board_ids": [str(world.board.id)],
        "created_at": field["created_at"],
        "updated_at": field["created_at"],
    }
    both = sorted([str(world.board.id), str(world.garden.id)])
    other = await defined(alice, on_launch, field_key="b", label="aa", board_ids=[*both, both[0]])
    assert other["board_ids"] == both
    assert (await alice.get(FIELDS)).json() == [other, field]


@pytest.mark.parametrize(
    ("alias", "type"),
    [
        ("Text (long)", "text_long"),
        ("long_text", "text_long"),
        ("True/False", "boolean"),
        ("date & time", "date_time"),
        ("DateTime", "date_time"),
        ("URL", "url"),
    ],
)
async def test_a_type_has_several_names(
    alice: Client, on_launch: dict[str, Any], alias: str, type: str
) -> None:
    """Point 43."""
    field = await defined(alice, on_launch, field_type=alias, ui_visibility="If set")
    assert (field["field_type"], field["ui_visibility"]) == (type, "if_set")
    changed = await alice.patch(f"{FIELDS}/{field['id']}", json={"field_type": alias})
    assert changed.json()["field_type"] == type


@pytest.mark.parametrize(
    "wrong",
    [
        {"field_key": " "},
        {"field_key": None},
        {"field_key": "x" * 201},
        {"label": " "},
        {"field_type": "colour"},
        {"field_type": None},
        {"ui_visibility": "sometimes"},
        {"required": None},
        {"required": "perhaps"},
        {"validation_regex": "["},
        {"validation_regex": "x" * 1001},
        {"validation_regex": "(?=later)"},
        {"board_ids": []},
        {"board_ids": None},
        {"board_ids": ["nowhere"]},
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(
    alice: Client, on_launch: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """3.5, C8."""
    field = await defined(alice, on_launch)
    for response in (
        await alice.post(FIELDS, json={**on_launch, "field_key": "other", **wrong}),
        await alice.patch(f"{FIELDS}/{field['id']}", json=wrong),
    ):
        assert response.status_code == 422, response.text
        assert response.json()["detail"][0]["loc"][:2] == ["body", *wrong]
    assert (await alice.get(FIELDS)).json() == [field]


async def test_a_regular_expression_is_for_what_is_written(
    alice: Client, on_launch: dict[str, Any]
) -> None:
    """3.5: of the resulting combination."""
    for type in ("integer", "decimal", "boolean", "json"):
        body = {**on_launch, "field_type": type, "validation_regex": "x"}
        assert (await alice.post(FIELDS, json=body)).status_code == 422, type
    field = await defined(alice, on_launch, validation_regex="[A-Z]+", default_value="ABC")
    at = f"{FIELDS}/{field['id']}"
    for wrong in (
        {"field_type": "integer"},
        {"field_type": "integer", "validation_regex": None},
        {"validation_regex": "[a-z]+"},
        {"default_value": "ABCd"},
    ):
        assert (await alice.patch(at, json=wrong)).status_code == 422, wrong
    blank = (await alice.patch(at, json={"validation_regex": " "})).json()
    assert blank["validation_regex"] is None
    number = {"field_type": "integer", "default_value": 7}
    assert (await alice.patch(at, json=number)).json()["default_value"] == 7


async def test_a_default_must_fit(alice: Client, on_launch: dict[str, Any]) -> None:
    """3.5: said in a sentence."""
    body = {**on_launch, "field_type": "integer", "default_value": "seven"}
    response = await alice.post(FIELDS, json=body)
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], str)


async def test_no_two_fields_have_the_same_key(
    alice: Client, charlie: Client, world: World, on_launch: dict[str, Any]
) -> None:
    """Point 43. C16, fixed. Another case is another key; each organization has its own."""
    await defined(alice, on_launch)
    clash = await alice.post(FIELDS, json=on_launch)
    assert clash.status_code == 409
    assert clash.json()["code"] == "custom_field_key_taken"
    await defined(alice, on_launch, field_key="Size")
    await defined(charlie, {"field_key": "size", "board_ids": [str(world.charlies_board.id)]})
    assert len((await alice.get(FIELDS)).json()) == 2


async def test_boards_must_be_of_the_organization(
    alice: Client, world: World, on_launch: dict[str, Any]
) -> None:
    """3.5."""
    field = await defined(alice, on_launch)
    wrong = sorted([str(new_id()), str(world.charlies_board.id)])
    boards = {"board_ids": [*reversed(wrong), str(world.board.id)]}
    for response in (
        await alice.post(FIELDS, json={"field_key": "other", **boards}),
        await alice.patch(f"{FIELDS}/{field['id']}", json=boards),
    ):
        assert response.status_code == 422
        assert response.json()["detail"]["invalid_board_ids"] == wrong
        assert response.json()["detail"]["message"]
    assert (await alice.get(FIELDS)).json() == [field]


async def test_a_change_names_something_and_never_the_key(
    alice: Client, on_launch: dict[str, Any]
) -> None:
    """3.5."""
    field = await defined(alice, on_launch)
    at = f"{FIELDS}/{field['id']}"
    for wrong in ({}, {"nonsense": 1}, {"field_key": "size"}, {"field_key": "b", "label": "B"}):
        assert (await alice.patch(at, json=wrong)).status_code == 422, wrong
    assert (await alice.patch(at)).status_code == 422
    assert (await alice.patch(at, json={"label": None})).status_code == 422
    changed = (await alice.patch(at, json={"label": " Extent ", "description": None})).json()
    assert changed == field | {"label": "Extent", "updated_at": changed["updated_at"]}


async def test_members_read_fields_and_admins_change_them(
    bob: Client, dana: Client, worker: Client, on_launch: dict[str, Any]
) -> None:
    """Section 2. An admin needs no right on the boards."""
    field = await defined(dana, on_launch)
    at = f"{FIELDS}/{field['id']}"
    assert (await bob.get(FIELDS)).json() == [field]
    for response in (
        await bob.post(FIELDS, json={**on_launch, "field_key": "other"}),
        await bob.patch(at, json={"label": "Mine"}),
        await bob.delete(at),
    ):
        assert response.status_code == 403
    assert (await worker.get(FIELDS)).status_code == 401
    assert (await dana.patch(at, json={"label": "Ours"})).json()["label"] == "Ours"


async def test_the_fields_of_another_organization_are_not_there(
    alice: Client, charlie: Client, on_launch: dict[str, Any]
) -> None:
    """3.5: 404, as for what never was."""
    field = await defined(alice, on_launch)
    for id in (field["id"], str(new_id())):
        for response in (
            await charlie.patch(f"{FIELDS}/{id}", json={"label": "Mine"}),
            await charlie.patch(f"{FIELDS}/{id}", json={"label": 5}),
            await charlie.delete(f"{FIELDS}/{id}"),
        ):
            assert response.status_code == 404
    assert (await charlie.get(FIELDS)).json() == []
    assert (await charlie.post(FIELDS, json=on_launch)).status_code == 422
    assert (await alice.get(FIELDS)).json() == [field]
