"""The contract's checklist (people-and-boards 7), 43: what tasks hold in their custom fields."""

from typing import Any

import pytest

from tests.api.conftest import Client
from tests.contract.fields import FIELDS, defined
from tests.world import World


@pytest.fixture
def path(world: World) -> str:
    """Where the tasks of Launch are."""
    return f"/boards/{world.board.id}/tasks"


async def made(client: Client, path: str, **values: Any) -> dict[str, Any]:
    """Create a task with values, and return it."""
    response = await client.post(path, json={"title": "Write", "custom_field_values": values})
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


async def test_tasks_hold_every_field_of_their_board(
    alice: Client, world: World, path: str, on_launch: dict[str, Any]
) -> None:
    """Point 43. Defaults on read; the snapshot's cards show them too (C39)."""
    early = await made(alice, path)
    assert early["custom_field_values"] == {}
    field = await defined(alice, on_launch, default_value="M")
    await defined(alice, on_launch, field_key="note")
    await defined(alice, on_launch, field_key="depth", board_ids=[str(world.garden.id)])
    task = await made(alice, path, size="L")
    assert task["custom_field_values"] == {"size": "L", "note": None}
    late = await made(alice, path)
    await alice.patch(f"{FIELDS}/{field['id']}", json={"default_value": "S"})
    expected = {early["id"]: "S", task["id"]: "L", late["id"]: "M"}
    for shown in (
        (await alice.get(path)).json()["items"],
        (await alice.get(f"/boards/{world.board.id}/snapshot")).json()["tasks"],
    ):
        values = {one["id"]: one["custom_field_values"] for one in shown}
        assert values == {id: {"size": size, "note": None} for id, size in expected.items()}


async def test_null_takes_a_value_away(alice: Client, path: str, on_launch: dict[str, Any]) -> None:
    """3.5."""
    await defined(alice, on_launch, default_value="M")
    await defined(alice, on_launch, field_key="note")
    task = await made(alice, path, size="L", note="Big")
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


async def test_unknown_keys_are_named(
    alice: Client, world: World, path: str, on_launch: dict[str, Any]
) -> None:
    """Point 43. Fields of other boards are unknown, too."""
    await defined(alice, on_launch)
    await defined(alice, on_launch, field_key="depth", board_ids=[str(world.garden.id)])
    task = await made(alice, path)
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
            ["now", 0],
        ),
        (
            "url",
            ["https://example.com/a?b=c", "http://localhost:8000"],
            ["ftp://example.com", "https://", "example.com", "http://a b", "http://[", 7],
        ),
        ("json", [{"a": [1, None]}, [], {}], ["a", 7, True]),
    ],
)
async def test_a_value_is_of_its_type(
    alice: Client,
    path: str,
    on_launch: dict[str, Any],
    type: str,
    right: list[Any],
    wrong: list[Any],
) -> None:
    """3.5."""
    await defined(alice, on_launch, field_type=type)
    for value in right:
        task = await made(alice, path, size=value)
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


async def test_the_whole_value_must_match(
    alice: Client, path: str, on_launch: dict[str, Any]
) -> None:
    """3.5."""
    await defined(alice, on_launch, validation_regex="[A-Z]{2}-[0-9]+|none")
    await made(alice, path, size="AB-1")
    await made(alice, path, size="none")
    await made(alice, path, size=None)
    for wrong in ("AB-1 ", "xAB-1", "AB-", "none\n", ""):
        body = {"title": "Write", "custom_field_values": {"size": wrong}}
        assert (await alice.post(path, json=body)).status_code == 422, wrong


async def test_a_wicked_regular_expression_stops_nobody(
    alice: Client, path: str, on_launch: dict[str, Any]
) -> None:
    """S20: one that backtracks would not be through with this when the sun goes out."""
    await defined(alice, on_launch, validation_regex="(a+)+(b|c+)+", field_type="text_long")
    body = {"title": "Write", "custom_field_values": {"size": "a" * 100_000}}
    assert (await alice.post(path, json=body)).status_code == 422


async def test_what_is_required_says_something(
    alice: Client, worker: Client, path: str, on_launch: dict[str, Any]
) -> None:
    """Point 43. C16: blanks are not enough; a default is, and so is what is stored."""
    early = await made(alice, path)
    field = await defined(alice, on_launch, required=True)
    await defined(alice, on_launch, field_key="area", required=True, field_type="boolean")
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
    task = await made(alice, path, size="L", area=False)
    at = f"{path}/{task['id']}"
    partly = await worker.patch(at, json={"custom_field_values": {"area": True}})
    assert partly.json()["custom_field_values"] == {"size": "L", "area": True}
    gone = {"custom_field_values": {"size": None}}
    assert (await worker.patch(at, json=gone)).status_code == 422
    await alice.patch(f"{FIELDS}/{field['id']}", json={"default_value": "M"})
    assert (await worker.patch(at, json=gone)).json()["custom_field_values"]["size"] == "M"
    assert (await made(alice, path, area=True))["custom_field_values"]["size"] == "M"


async def test_agents_give_values_too(
    alice: Client, worker: Client, other_worker: Client, lead: Client, path: str, on_launch: Any
) -> None:
    """3.10.4, 3.10.5: the worker even on the task of another."""
    await defined(alice, on_launch)
    agents = f"/agent{path}"
    task = await made(lead, agents, size="S")
    at = f"{agents}/{task['id']}"
    await worker.patch(at, json={"status": "in_progress", "custom_field_values": {"size": "M"}})
    for client, size in ((other_worker, "L"), (lead, "XL")):
        changed = await client.patch(at, json={"custom_field_values": {"size": size}})
        assert changed.json()["custom_field_values"] == {"size": size}


async def test_a_refused_value_changes_nothing(
    alice: Client, path: str, on_launch: dict[str, Any]
) -> None:
    await defined(alice, on_launch)
    task = await made(alice, path, size="L")
    body = {"title": "Other", "custom_field_values": {"size": 7}}
    assert (await alice.patch(f"{path}/{task['id']}", json=body)).status_code == 422
    assert (await alice.get(f"{path}/{task['id']}")).json() == task


async def test_a_field_in_use_stays(alice: Client, path: str, on_launch: dict[str, Any]) -> None:
    """Point 43."""
    field = await defined(alice, on_launch)
    at = f"{FIELDS}/{field['id']}"
    task = await made(alice, path, size="L")
    response = await alice.delete(at)
    assert response.status_code == 409
    assert response.json()["code"] == "custom_field_in_use"
    await alice.patch(f"{path}/{task['id']}", json={"custom_field_values": {"size": None}})
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(FIELDS)).json() == []
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {}
    assert (await alice.delete(at)).status_code == 404


async def test_what_tasks_hold_always_fits(
    alice: Client, path: str, on_launch: dict[str, Any]
) -> None:
    """C16, fixed: a type or an expression that stored values do not fit is refused."""
    field = await defined(alice, on_launch)
    at = f"{FIELDS}/{field['id']}"
    for value in ("2026-11-24", "L", "L"):
        await made(alice, path, size=value)
    for wrong in ({"field_type": "date"}, {"validation_regex": "[0-9-]+"}):
        response = await alice.patch(at, json=wrong)
        assert response.status_code == 409, wrong
        assert "2" in response.json()["detail"]
        assert response.json()["code"] == "custom_field_values_unfit"
    assert (await alice.get(FIELDS)).json() == [field]
    fine = {"field_type": "text_long", "validation_regex": "[0-9L-]+"}
    assert (await alice.patch(at, json=fine)).status_code == 200


async def test_a_board_that_loses_a_field_loses_its_values(
    alice: Client, world: World, path: str, on_launch: dict[str, Any]
) -> None:
    """C16, fixed: they would be in the way without being seen."""
    both = [str(world.board.id), str(world.garden.id)]
    field = await defined(alice, on_launch, board_ids=both)
    at = f"{FIELDS}/{field['id']}"
    task = await made(alice, path, size="L")
    sown = await made(alice, f"/boards/{world.garden.id}/tasks", size="2026-11-24")
    moved = await alice.patch(at, json={"board_ids": both[1:], "field_type": "date"})
    assert (moved.json()["board_ids"], moved.json()["field_type"]) == (both[1:], "date")
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {}
    there = f"/boards/{world.garden.id}/tasks/{sown['id']}"
    assert (await alice.get(there)).json()["custom_field_values"] == {"size": "2026-11-24"}
    await alice.patch(at, json={"board_ids": both[:1]})
    assert (await alice.get(f"{path}/{task['id']}")).json()["custom_field_values"] == {"size": None}
    assert (await alice.delete(at)).status_code == 200
