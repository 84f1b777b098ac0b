"""The number of SQL statements for tags, custom fields and the dashboard."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_custom_field, make_tag
from tests.support.statement_counter import (
    MAX_STATEMENTS,
    assert_few_statements,
    count_all_statements,
)
from tests.support.world import World

FIELDS = "/organizations/me/custom-fields"
MANY = 200
READS = 3  # statements


@pytest.fixture
async def large_board(transaction: TransactionFactory, world: World) -> None:
    """Many tags, many custom fields, and a task on Launch with a value for each."""
    async with transaction() as session:
        for number in range(MANY):
            session.add(make_tag(world.tern, f"Tag {number}"))
            session.add_all(
                world.make_custom_field(field_key=f"key {number}", label=f"Field {number}")
            )


@pytest.mark.usefixtures("large_board")
async def test_a_list_of_any_size_needs_the_same_number_of_statements(
    alice: Client, world: World
) -> None:
    values = {f"key {number}": "L" for number in range(MANY)}
    tasks = f"/boards/{world.board.id}/tasks"
    for _ in range(3):
        body = {"title": "Write", "custom_field_values": values}
        assert (await alice.post(tasks, json=body)).status_code == 200
    tag = (await alice.get("/tags?limit=1")).json()["items"][0]
    dashboard = f"/metrics/dashboard?range_key=1y&board_id={world.board.id}"
    for path in ("/tags", f"/tags/{tag['id']}", FIELDS, dashboard, tasks):
        with count_all_statements() as sent:
            assert (await alice.get(path)).status_code == 200
        assert len(sent) <= READS, (path, sent)


async def test_statements_of_creating_changing_and_deleting_tags(alice: Client) -> None:
    await assert_few_statements(alice, "POST", "/tags", {"name": "Words"})
    [tag] = (await alice.get("/tags")).json()["items"]
    await assert_few_statements(
        alice, "PATCH", f"/tags/{tag['id']}", {"name": "Signs", "slug": None}
    )
    await assert_few_statements(alice, "DELETE", f"/tags/{tag['id']}")


async def test_statements_of_creating_changing_and_deleting_custom_fields(
    alice: Client, world: World
) -> None:
    """The most expensive change is of type and boards together, with existing values."""
    both = [str(world.board.id), str(world.garden.id)]
    field: dict[str, Any] = {"field_key": "size", "board_ids": both[:1]}
    await assert_few_statements(alice, "POST", FIELDS, field)
    tasks = f"/boards/{world.board.id}/tasks"
    await alice.post(tasks, json={"title": "Write", "custom_field_values": {"size": "7"}})
    [made] = (await alice.get(FIELDS)).json()
    at = f"{FIELDS}/{made['id']}"
    await assert_few_statements(
        alice, "PATCH", at, {"board_ids": both, "field_type": "text_long", "label": "Size"}
    )
    await assert_few_statements(
        alice, "PATCH", at, {"board_ids": both[1:], "field_type": "url", "required": True}
    )
    await assert_few_statements(alice, "DELETE", at)


async def test_custom_field_values_are_loaded_with_their_task(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        session.add_all(make_custom_field(world.board, required=True))
    tasks = f"/boards/{world.board.id}/tasks"
    values = {"custom_field_values": {"size": "L"}}
    limit = MAX_STATEMENTS + 1  # which adds and reads the watchers
    body = {"title": "Write", **values}
    await assert_few_statements(alice, "POST", tasks, body, limit=limit)
    [task] = (await alice.get(tasks)).json()["items"]
    changes = {"title": "Written", "custom_field_values": {"size": "M"}}
    await assert_few_statements(alice, "PATCH", f"{tasks}/{task['id']}", changes, limit=limit)
