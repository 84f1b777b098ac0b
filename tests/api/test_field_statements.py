"""What tags, custom fields and the dashboard ask of the database: little, and never more."""

from typing import Any

import pytest

from tests.api.conftest import Client
from tests.api.test_people_statements import counted, few
from tests.conftest import Transaction
from tests.world import World, a_field, a_tag

FIELDS = "/organizations/me/custom-fields"
MANY = 200
READS = 3  # statements


@pytest.fixture
async def crowd(transaction: Transaction, world: World) -> None:
    """Many tags, many fields, and a task on Launch with a value for each."""
    async with transaction() as session:
        for number in range(MANY):
            session.add(a_tag(world.tern, f"Tag {number}"))
            session.add_all(world.field(field_key=f"key {number}", label=f"Field {number}"))


@pytest.mark.usefixtures("crowd")
async def test_however_many_there_are_they_are_read_at_once(alice: Client, world: World) -> None:
    values = {f"key {number}": "L" for number in range(MANY)}
    tasks = f"/boards/{world.board.id}/tasks"
    for _ in range(3):
        body = {"title": "Write", "custom_field_values": values}
        assert (await alice.post(tasks, json=body)).status_code == 200
    tag = (await alice.get("/tags?limit=1")).json()["items"][0]
    dashboard = f"/metrics/dashboard?range_key=1y&board_id={world.board.id}"
    for path in ("/tags", f"/tags/{tag['id']}", FIELDS, dashboard, tasks):
        with counted() as sent:
            assert (await alice.get(path)).status_code == 200
        assert len(sent) <= READS, (path, sent)


async def test_tags_come_change_and_go(alice: Client) -> None:
    await few(alice, "POST", "/tags", {"name": "Words"})
    [tag] = (await alice.get("/tags")).json()["items"]
    await few(alice, "PATCH", f"/tags/{tag['id']}", {"name": "Signs", "slug": None})
    await few(alice, "DELETE", f"/tags/{tag['id']}")


async def test_fields_come_change_and_go(alice: Client, world: World) -> None:
    """The costliest change is of type and boards at once, while there are values."""
    both = [str(world.board.id), str(world.garden.id)]
    field: dict[str, Any] = {"field_key": "size", "board_ids": both[:1]}
    await few(alice, "POST", FIELDS, field)
    tasks = f"/boards/{world.board.id}/tasks"
    await alice.post(tasks, json={"title": "Write", "custom_field_values": {"size": "7"}})
    [made] = (await alice.get(FIELDS)).json()
    at = f"{FIELDS}/{made['id']}"
    await few(alice, "PATCH", at, {"board_ids": both, "field_type": "text_long", "label": "Size"})
    await few(alice, "PATCH", at, {"board_ids": both[1:], "field_type": "url", "required": True})
    await few(alice, "DELETE", at)


async def test_values_come_with_their_task(
    alice: Client, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        session.add_all(a_field(world.board, required=True))
    tasks = f"/boards/{world.board.id}/tasks"
    values = {"custom_field_values": {"size": "L"}}
    await few(alice, "POST", tasks, {"title": "Write", **values})
    [task] = (await alice.get(tasks)).json()["items"]
    changes = {"title": "Written", "custom_field_values": {"size": "M"}}
    await few(alice, "PATCH", f"{tasks}/{task['id']}", changes)
