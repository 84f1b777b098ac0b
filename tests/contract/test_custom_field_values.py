"""The contract's checklist (people-and-boards 7), point 43: custom field values of tasks."""

from random import Random
from typing import Any

import pytest

from tests.support.api_fixtures import Client
from tests.support.custom_fields_api import FIELDS_PATH, create_field
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.world import World


@pytest.fixture
def path(world: World) -> str:
    """The path of the tasks of Launch."""
    return f"/boards/{world.board.id}/tasks"


async def create_task(client: Client, path: str, **values: Any) -> dict[str, Any]:
    """Create a task with values and return it."""
    response = await client.post(path, json={"title": "Write", "custom_field_values": values})
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


async def test_tasks_have_values_for_all_fields_of_their_board(
    alice: Client, world: World, path: str, field_definition: dict[str, Any]
) -> None:
    """Point 43. Defaults apply on read, also in the snapshot (C39)."""
    early = await create_task(alice, path)
    assert early["custom_field_values"] == {}
    field = await create_field(alice, field_definition, default_value="M")
    await create_field(alice, field_definition, field_key="note")
    await create_field(alice, field_definition, field_key="depth", board_ids=[str(world.garden.id)])
    task = await create_task(alice, path, size="L")
    assert task["custom_field_values"] == {"size": "L", "note": None}
    late = await create_task(alice, path)
    await alice.patch(f"{FIELDS_PATH}/{field['id']}", json={"default_value": "S"})
    expected = {early["id"]: "S", task["id"]: "L", late["id"]: "M"}
    for shown in (
        (await alice.get(path)).json()["items"],
        (await alice.get(f"/boards/{world.board.id}/snapshot")).json()["tasks"],
    ):
        values = {one["id"]: one["custom_field_values"] for one in shown}
        assert values == {id: {"size": size, "note": None} for id, size in expected.items()}


async def test_null_resets_a_value(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """3.5."""
    await create_field(alice, field_definition, default_value="M")
    await create_field(alice, field_definition, field_key="note")
    task = await create_task(alice, path, size="L", note="Big")
    at = f"{path}/{task['id']}"
    for sent, values in [
        ({"note": "Bigger"}, {"size": "L", "note": "Bigger"}),
        ({"note": None, "size": "XL"}, {"size": "XL", "note": None}),
        ({"size": None}, {"size": "M", "note": None}),
        (None, {"size": "M", "note": None}),
        ({}, {"size": "M", "note": None}),
    ]:
        changed = await alice.patch(at, json={"custom_field_values": sent})
        assert changed.json()["custom_field_values"] == values, sent


async def test_unknown_keys_are_listed_in_the_error(
    alice: Client, world: World, path: str, field_definition: dict[str, Any]
) -> None:
    """Point 43. Fields of other boards are unknown too."""
    await create_field(alice, field_definition)
    await create_field(alice, field_definition, field_key="depth", board_ids=[str(world.garden.id)])
    task = await create_task(alice, path)
    values = {"z": 1, "size": "L", "depth": 1}
    for response in (
        await alice.post(path, json={"title": "Write", "custom_field_values": values}),
        await alice.patch(f"{path}/{task['id']}", json={"custom_field_values": values}),
    ):
        assert response.status_code == 422
        assert response.json()["detail"]["unknown_field_keys"] == ["depth", "z"]
        assert response.json()["detail"]["message"]


@pytest.mark.parametrize(
    ("type", "right", "wrong"),
    [
        ("text", ["", "L"], [7, True, [], "x" * 2001]),
        ("text_long", ["x" * 100_000], [{}, "x" * 100_001]),
        ("integer", [0, -7, 2**53 - 1], [1.5, 1.0, True, "7", 2**53]),
        ("decimal", [0.1, 7, -1e-9], [False, "0.1", 1e300]),
        ("boolean", [True, False], [0, "true"]),
        ("date", ["2026-11-24"], ["24.11.2026", "2026-02-30", 20261124, ""]),
        (
            "date_time",
            ["2026-11-24T22:28:33", "2026-11-24T22:28:33Z", "2026-11-24T22:28:33.5+02:00"],
            ["now", 0, f"2026-11-24T22:28:33.{'0' * 100}"],
        ),
        (
            "url",
            ["https://example.com/a?b=c", "http://localhost:8000"],
            ["ftp://example.com", "https://", "example.com", "http://a b", "http://[", 7],
        ),
        ("json", [{"a": [1, None]}, [], {}], ["a", 7, True]),
    ],
)
async def test_values_are_validated_by_type(
    alice: Client,
    path: str,
    field_definition: dict[str, Any],
    type: str,
    right: list[Any],
    wrong: list[Any],
) -> None:
    """3.5."""
    await create_field(alice, field_definition, field_type=type)
    for value in right:
        task = await create_task(alice, path, size=value)
        assert task["custom_field_values"] == {"size": value}
    for value in wrong:
        body = {"custom_field_values": {"size": value}}
        for response in (
            await alice.post(path, json={"title": "Write", **body}),
            await alice.patch(f"{path}/{task['id']}", json=body),
        ):
            assert response.status_code == 422, value
            detail = response.json()["detail"]
            assert (detail["field_key"], detail["field_type"]) == ("size", type)
            assert detail["message"]
            assert detail["reason"]


async def test_the_regular_expression_must_match_the_whole_value(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """3.5."""
    await create_field(alice, field_definition, validation_regex="[A-Z]{2}-[0-9]+|none")
    await create_task(alice, path, size="AB-1")
    await create_task(alice, path, size="none")
    await create_task(alice, path, size=None)
    for wrong in ("AB-1 ", "xAB-1", "AB-", "none\n", ""):
        body = {"title": "Write", "custom_field_values": {"size": wrong}}
        assert (await alice.post(path, json=body)).status_code == 422, wrong


async def test_a_malicious_regular_expression_does_not_block_the_server(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """S20: an engine with backtracking would need exponential time here."""
    await create_field(
        alice, field_definition, validation_regex="(a+)+(b|c+)+", field_type="text_long"
    )
    body = {"title": "Write", "custom_field_values": {"size": "a" * 100_000}}
    assert (await alice.post(path, json=body)).status_code == 422


async def test_a_required_field_must_not_be_blank(
    alice: Client, worker: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """Point 43. C16: blanks do not count; a default or a stored value does."""
    early = await create_task(alice, path)
    field = await create_field(alice, field_definition, required=True)
    await create_field(
        alice, field_definition, field_key="area", required=True, field_type="boolean"
    )
    for values, missing in [
        ({}, ["area", "size"]),
        ({"size": " \n"}, ["area", "size"]),
        ({"size": "L", "area": None}, ["area"]),
        ({"area": False}, ["size"]),
    ]:
        for response in (
            await alice.post(path, json={"title": "Write", "custom_field_values": values}),
            await worker.patch(f"{path}/{early['id']}", json={"custom_field_values": values}),
        ):
            assert response.status_code == 422
            assert response.json()["detail"]["missing_field_keys"] == missing
            assert response.json()["detail"]["message"]
    assert (await worker.patch(f"{path}/{early['id']}", json={"comment": "Hm"})).status_code == 200
    task = await create_task(alice, path, size="L", area=False)
    at = f"{path}/{task['id']}"
    partly = await worker.patch(at, json={"custom_field_values": {"area": True}})
    assert partly.json()["custom_field_values"] == {"size": "L", "area": True}
    reset = {"custom_field_values": {"size": None}}
    assert (await worker.patch(at, json=reset)).status_code == 422
    await alice.patch(f"{FIELDS_PATH}/{field['id']}", json={"default_value": "M"})
    assert (await worker.patch(at, json=reset)).json()["custom_field_values"]["size"] == "M"
    assert (await create_task(alice, path, area=True))["custom_field_values"]["size"] == "M"


async def test_agents_can_set_values(
    alice: Client,
    worker: Client,
    other_worker: Client,
    lead: Client,
    path: str,
    field_definition: Any,
) -> None:
    """3.10.4, 3.10.5: a worker also on a task of another agent."""
    await create_field(alice, field_definition)
    agents = f"/agent{path}"
    task = await create_task(lead, agents, size="S")
    at = f"{agents}/{task['id']}"
    await worker.patch(at, json={"status": "in_progress", "custom_field_values": {"size": "M"}})
    for client, size in ((other_worker, "L"), (lead, "XL")):
        changed = await client.patch(at, json={"custom_field_values": {"size": size}})
        assert changed.json()["custom_field_values"] == {"size": size}


async def test_an_invalid_value_changes_nothing(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    await create_field(alice, field_definition)
    task = await create_task(alice, path, size="L")
    body = {"title": "Other", "custom_field_values": {"size": 7}}
    assert (await alice.patch(f"{path}/{task['id']}", json=body)).status_code == 422
    assert (await alice.get(f"{path}/{task['id']}")).json() == task


async def test_a_field_in_use_cannot_be_deleted(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """Point 43."""
    field = await create_field(alice, field_definition)
    at = f"{FIELDS_PATH}/{field['id']}"
    task = await create_task(alice, path, size="L")
    response = await alice.delete(at)
    assert response.status_code == 409
    assert response.json()["code"] == "custom_field_in_use"
    await alice.patch(f"{path}/{task['id']}", json={"custom_field_values": {"size": None}})
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(FIELDS_PATH)).json() == []
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {}
    assert (await alice.delete(at)).status_code == 404


async def test_stored_values_always_match_their_field(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """C16, fixed: a type or regular expression that stored values violate is rejected."""
    field = await create_field(alice, field_definition)
    at = f"{FIELDS_PATH}/{field['id']}"
    for value in ("2026-11-24", "L", "L"):
        await create_task(alice, path, size=value)
    for wrong in ({"field_type": "date"}, {"validation_regex": "[0-9-]+"}):
        response = await alice.patch(at, json=wrong)
        assert response.status_code == 409, wrong
        assert "2" in response.json()["detail"]
        assert response.json()["code"] == "stored_values_invalid"
    assert (await alice.get(FIELDS_PATH)).json() == [field]
    fine = {"field_type": "text_long", "validation_regex": "[0-9L-]+"}
    assert (await alice.patch(at, json=fine)).status_code == 200


async def test_removing_a_board_from_a_field_deletes_its_values(
    alice: Client, world: World, path: str, field_definition: dict[str, Any]
) -> None:
    """C16, fixed: invisible values would prevent changes of the field."""
    both = [str(world.board.id), str(world.garden.id)]
    field = await create_field(alice, field_definition, board_ids=both)
    at = f"{FIELDS_PATH}/{field['id']}"
    task = await create_task(alice, path, size="L")
    garden_task = await create_task(alice, f"/boards/{world.garden.id}/tasks", size="2026-11-24")
    moved = await alice.patch(at, json={"board_ids": both[1:], "field_type": "date"})
    assert (moved.json()["board_ids"], moved.json()["field_type"]) == (both[1:], "date")
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {}
    garden_path = f"/boards/{world.garden.id}/tasks/{garden_task['id']}"
    assert (await alice.get(garden_path)).json()["custom_field_values"] == {"size": "2026-11-24"}
    await alice.patch(at, json={"board_ids": both[:1]})
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {"size": None}
    assert (await alice.delete(at)).status_code == 200


async def test_no_pattern_holds_the_event_loop(
    alice: Client, path: str, field_definition: dict[str, Any]
) -> None:
    """Some need half a second for one long text, in which nobody else is answered."""
    field = await create_field(alice, field_definition, field_type="text_long")
    text = "".join(Random(1).choices("ab", k=100_000))
    slow = {"validation_regex": ".*a.{900}"}
    with measure_holds() as holds:
        task = await create_task(alice, path, size=text)
        changed = await alice.patch(f"{FIELDS_PATH}/{field['id']}", json=slow)
        assert changed.status_code == 200
        values = {"custom_field_values": {"size": text}}
        assert (await alice.patch(f"{path}/{task['id']}", json=values)).status_code == 200
        await create_task(alice, path, size=text)
        changed = await alice.patch(f"{FIELDS_PATH}/{field['id']}", json={"default_value": text})
        assert changed.status_code == 200
    assert holds.longest < calibrate(), holds.place
