"""The log of what was written to the configuration of a gateway, for scripts of admins."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import AuditRecord, ConfigChangeKind, GatewayConfigChange, new_id
from tests.support.api_fixtures import Client
from tests.support.world import World

OF_READERS = ("agent_key", "agent_id", "agent_name", "board_id", "diff")


@pytest.fixture
async def path(gateway: dict[str, Any], transaction: TransactionFactory, world: World) -> str:
    """Store a confirmed change with its cause, and then one that is not confirmed."""
    agent = world.worker
    async with transaction() as session:
        created = select(AuditRecord).where(AuditRecord.action == "gateway.created")
        cause = (await session.scalars(created)).one()
        fields = {
            "gateway_id": UUID(gateway["id"]),
            "agent_key": f"mc-{agent.id}",
            "agent_id": agent.id,
            "agent_name": "Worker",
            "board_id": agent.board_id,
            "diff": "+ added",
            "created_at": now(),
        }
        known = {"cause_id": cause.id, "actor_id": cause.actor_id, "confirmed_at": now()}
        added, changed = ConfigChangeKind.ADDED, ConfigChangeKind.CHANGED
        older, newer = sorted([new_id(), new_id()])
        session.add(GatewayConfigChange(id=older, kind=added, **fields, **known))
        session.add(GatewayConfigChange(id=newer, kind=changed, writes=3, **fields))
    return f"/gateways/{gateway['id']}/config-changes"


async def test_what_was_written_is_listed_with_its_cause(
    alice: Client, path: str, world: World
) -> None:
    page = (await alice.get(path)).json()
    assert (page["total"], page["limit"], page["offset"]) == (2, 200, 0)
    newest, first = page["items"]
    assert (newest["kind"], newest["writes"]) == ("changed", 3)
    assert newest["cause"] is newest["confirmed_at"] is None
    assert (first["kind"], first["writes"], first["can_read"]) == ("added", 1, True)
    assert first["confirmed_at"] is not None
    worker = world.worker
    assert [first[name] for name in OF_READERS] == [
        *(f"mc-{worker.id}", str(worker.id), "Worker", str(worker.board_id), "+ added")
    ]
    cause = first["cause"]
    assert (cause["action"], cause["actor_name"]) == ("gateway.created", "Alice")
    assert (cause["actor_kind"], cause["actor_id"]) == ("user", str(world.alice.id))


async def test_changes_are_listed_page_by_page(alice: Client, path: str) -> None:
    page = (await alice.get(path, params={"limit": 1, "offset": 1})).json()
    assert (page["total"], [one["kind"] for one in page["items"]]) == (2, ["added"])
    assert (await alice.get(path, params={"offset": 5})).json()["total"] == 2
    for query in ({"limit": 0}, {"limit": 201}, {"offset": -1}):
        assert (await alice.get(path, params=query)).status_code == 422


async def test_agents_on_boards_that_an_admin_cannot_read_are_not_named(
    alice: Client, dana: Client, path: str, transaction: TransactionFactory, world: World
) -> None:
    renamed = await alice.patch(f"/agents/{world.worker.id}", json={"name": "Author"})
    assert renamed.status_code == 200
    async with transaction() as session:
        updated = select(AuditRecord.id).where(AuditRecord.action == "agent.updated")
        caused = update(GatewayConfigChange).values(cause_id=updated.scalar_subquery())
        await session.execute(caused)
    [cause, _same] = [item["cause"] for item in (await alice.get(path)).json()["items"]]
    assert (cause["object_id"], cause["object_name"]) == (str(world.worker.id), "Author")
    response = await dana.get(path)
    for item in response.json()["items"]:
        assert item["can_read"] is False
        assert [item[name] for name in OF_READERS] == [None] * 5
        assert (item["cause"]["action"], item["cause"]["actor_name"]) == ("agent.updated", "Alice")
        assert item["cause"]["object_kind"] == "agent"
    for hidden in (str(world.worker.id), "Author"):
        assert hidden not in response.text


async def test_others_do_not_see_what_was_written(
    bob: Client, charlie: Client, worker: Client, lead: Client, anonymous: Client, path: str
) -> None:
    for client, status in (
        (bob, 403),
        (charlie, 404),
        (worker, 401),
        (lead, 401),
        (anonymous, 401),
    ):
        assert (await client.get(path)).status_code == status
