"""The contract's checklist (people-and-boards 7), point 43: custom field definitions."""

from typing import Any

import pytest

from models import new_id
from tests.support.api_fixtures import Client
from tests.support.custom_fields_api import FIELDS_PATH, create_field
from tests.support.world import World


async def test_a_field_has_all_properties_of_the_contract(
    alice: Client, world: World, field_definition: dict[str, Any]
) -> None:
    """3.5."""
    field = await create_field(alice, field_definition, field_key=" Size ")
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
    other = await create_field(
        alice, field_definition, field_key="b", label="aa", board_ids=[*both, both[0]]
    )
    assert other["board_ids"] == both
    assert (await alice.get(FIELDS_PATH)).json() == [other, field]


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
async def test_types_have_aliases(
    alice: Client, field_definition: dict[str, Any], alias: str, type: str
) -> None:
    """Point 43."""
    field = await create_field(alice, field_definition, field_type=alias, ui_visibility="If set")
    assert (field["field_type"], field["ui_visibility"]) == (type, "if_set")
    changed = await alice.patch(f"{FIELDS_PATH}/{field['id']}", json={"field_type": alias})
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
async def test_invalid_properties_are_rejected_with_their_field(
    alice: Client, field_definition: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """3.5, C8."""
    field = await create_field(alice, field_definition)
    for response in (
        await alice.post(FIELDS_PATH, json={**field_definition, "field_key": "other", **wrong}),
        await alice.patch(f"{FIELDS_PATH}/{field['id']}", json=wrong),
    ):
        assert response.status_code == 422, response.text
        assert response.json()["detail"][0]["loc"][:2] == ["body", *wrong]
    assert (await alice.get(FIELDS_PATH)).json() == [field]


async def test_a_regular_expression_is_allowed_only_for_text_types(
    alice: Client, field_definition: dict[str, Any]
) -> None:
    """3.5: the resulting combination is checked."""
    for type in ("integer", "decimal", "boolean", "json"):
        body = {**field_definition, "field_type": type, "validation_regex": "x"}
        assert (await alice.post(FIELDS_PATH, json=body)).status_code == 422, type
    field = await create_field(
        alice, field_definition, validation_regex="[A-Z]+", default_value="ABC"
    )
    at = f"{FIELDS_PATH}/{field['id']}"
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


async def test_a_default_value_must_be_valid(
    alice: Client, field_definition: dict[str, Any]
) -> None:
    """3.5: the error is a sentence."""
    body = {**field_definition, "field_type": "integer", "default_value": "seven"}
    response = await alice.post(FIELDS_PATH, json=body)
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], str)


async def test_keys_are_unique_in_an_organization(
    alice: Client, charlie: Client, world: World, field_definition: dict[str, Any]
) -> None:
    """Point 43. C16, fixed. Keys are case-sensitive, and unique per organization."""
    await create_field(alice, field_definition)
    clash = await alice.post(FIELDS_PATH, json=field_definition)
    assert clash.status_code == 409
    assert clash.json()["code"] == "custom_field_key_taken"
    await create_field(alice, field_definition, field_key="Size")
    await create_field(charlie, {"field_key": "size", "board_ids": [str(world.charlies_board.id)]})
    assert len((await alice.get(FIELDS_PATH)).json()) == 2


async def test_boards_must_belong_to_the_organization(
    alice: Client, world: World, field_definition: dict[str, Any]
) -> None:
    """3.5."""
    field = await create_field(alice, field_definition)
    wrong = sorted([str(new_id()), str(world.charlies_board.id)])
    boards = {"board_ids": [*reversed(wrong), str(world.board.id)]}
    for response in (
        await alice.post(FIELDS_PATH, json={"field_key": "other", **boards}),
        await alice.patch(f"{FIELDS_PATH}/{field['id']}", json=boards),
    ):
        assert response.status_code == 422
        assert response.json()["detail"]["invalid_board_ids"] == wrong
        assert response.json()["detail"]["message"]
    assert (await alice.get(FIELDS_PATH)).json() == [field]


async def test_an_update_needs_a_property_and_cannot_change_the_key(
    alice: Client, field_definition: dict[str, Any]
) -> None:
    """3.5."""
    field = await create_field(alice, field_definition)
    at = f"{FIELDS_PATH}/{field['id']}"
    for wrong in ({}, {"nonsense": 1}, {"field_key": "size"}, {"field_key": "b", "label": "B"}):
        assert (await alice.patch(at, json=wrong)).status_code == 422, wrong
    assert (await alice.patch(at)).status_code == 422
    assert (await alice.patch(at, json={"label": None})).status_code == 422
    changed = (await alice.patch(at, json={"label": " Extent ", "description": None})).json()
    assert changed == field | {"label": "Extent", "updated_at": changed["updated_at"]}


async def test_members_can_read_fields_and_admins_can_change_them(
    bob: Client, dana: Client, worker: Client, field_definition: dict[str, Any]
) -> None:
    """Section 2. An admin needs no access to the boards."""
    field = await create_field(dana, field_definition)
    at = f"{FIELDS_PATH}/{field['id']}"
    assert (await bob.get(FIELDS_PATH)).json() == [field]
    for response in (
        await bob.post(FIELDS_PATH, json={**field_definition, "field_key": "other"}),
        await bob.patch(at, json={"label": "Mine"}),
        await bob.delete(at),
    ):
        assert response.status_code == 403
    assert (await worker.get(FIELDS_PATH)).status_code == 401
    assert (await dana.patch(at, json={"label": "Ours"})).json()["label"] == "Ours"


async def test_fields_of_another_organization_are_not_found(
    alice: Client, charlie: Client, field_definition: dict[str, Any]
) -> None:
    """3.5: 404, as for an unknown id."""
    field = await create_field(alice, field_definition)
    for id in (field["id"], str(new_id())):
        for response in (
            await charlie.patch(f"{FIELDS_PATH}/{id}", json={"label": "Mine"}),
            await charlie.patch(f"{FIELDS_PATH}/{id}", json={"label": 5}),
            await charlie.delete(f"{FIELDS_PATH}/{id}"),
        ):
            assert response.status_code == 404
    assert (await charlie.get(FIELDS_PATH)).json() == []
    assert (await charlie.post(FIELDS_PATH, json=field_definition)).status_code == 422
    assert (await alice.get(FIELDS_PATH)).json() == [field]
