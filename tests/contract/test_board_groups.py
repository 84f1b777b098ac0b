"""Board groups in the API (contract people-and-boards 3.7 and 7, point 35)."""

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Board, Event, EventType, GroupNote, Message, new_id
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.board_rows import make_agent, make_board, make_task
from tests.support.memory_rows import create_group_of, make_board_group, make_group_note
from tests.support.world import World

NEW = {"name": "Spring launch"}


async def test_admin_creates_a_group_with_generated_slug(
    alice: Client, bob: Client, dana: Client, worker: Client, world: World
) -> None:
    created = (await alice.post("/board-groups", json=NEW)).json()
    assert created == created | {
        "name": "Spring launch",
        "slug": "spring-launch",
        "description": None,
        "organization_id": str(world.tern.id),
    }
    assert (await alice.get(f"/board-groups/{created['id']}")).json() == created
    with_slug = {"name": "Summer", "slug": "s1", "description": "All of it"}
    assert (await dana.post("/board-groups", json=with_slug)).json() | with_slug == (
        await dana.get("/board-groups")
    ).json()["items"][1]
    nameless = (await alice.post("/board-groups", json={"name": "春", "slug": " "})).json()
    assert len(nameless["slug"]) == 32
    for wrong in ({}, {"name": " "}, {"name": "a", "slug": None}, {"name": None, "slug": "a"}):
        assert (await alice.post("/board-groups", json=wrong)).status_code == 422
    assert (await bob.post("/board-groups", json=NEW)).status_code == 403
    assert (await worker.post("/board-groups", json=NEW)).status_code == 401


async def test_group_slug_is_unique_per_organization(alice: Client, charlie: Client) -> None:
    first = (await alice.post("/board-groups", json=NEW)).json()
    for again in (NEW, {"name": "Other", "slug": "spring-launch"}):
        response = await alice.post("/board-groups", json=again)
        assert (response.status_code, response.json()["code"]) == (409, "board_group_slug_taken")
    other = (await alice.post("/board-groups", json={"name": "Other"})).json()
    at = f"/board-groups/{other['id']}"
    assert (await alice.patch(at, json={"slug": first["slug"]})).status_code == 409
    assert (await alice.get(at)).json() == other
    assert (await charlie.post("/board-groups", json=NEW)).status_code == 200


async def test_group_is_updated_by_admins_with_write_access(
    alice: Client, bob: Client, dana: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        group = await create_group_of(session, world.board)
    at = f"/board-groups/{group.id}"
    before = (await alice.get(at)).json()
    changed = (await alice.patch(at, json={"name": "Fish", "description": "Swim"})).json()
    assert changed == before | {
        "name": "Fish",
        "description": "Swim",
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > before["updated_at"]
    assert (await alice.patch(at, json={"slug": " "})).json()["slug"] == "fish"
    assert (await alice.patch(at, json={"slug": "", "name": "Ants"})).json()["slug"] == "ants"
    assert (await alice.patch(at, json={"description": None})).json()["description"] is None
    for wrong in ({"name": None}, {"slug": None}, {"name": ""}):
        assert (await alice.patch(at, json=wrong)).status_code == 422
    for client in (bob, dana):
        assert (await client.patch(at, json={"name": "Mine"})).status_code == 403
        assert (await client.delete(at)).status_code == 403
    async with transaction() as session:
        updates = await session.scalars(
            select(Event).where(Event.type == EventType.BOARD_GROUP_UPDATED).order_by(Event.seq)
        )
        assert [sorted(event.data["changes"]) for event in updates] == [
            ["description", "name"],
            ["slug"],
            ["name", "slug"],
            ["description"],
        ]


async def test_readers_of_one_board_may_read_its_group(
    alice: Client,
    bob: Client,
    rita: Client,
    dana: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """1.12."""
    async with transaction() as session:
        birds = await create_group_of(session, world.board)
        aviary = await create_group_of(session, world.garden, name="aviary")
        empty = make_board_group(world.tern, "Nothing")
        session.add(empty)
    expected = {
        alice: [("aviary", aviary), ("Birds", birds), ("Nothing", empty)],
        bob: [("Birds", birds)],
        rita: [("Birds", birds)],
        dana: [("Nothing", empty)],
    }
    for client, groups in expected.items():
        page = (await client.get("/board-groups")).json()
        assert [one["name"] for one in page["items"]] == [name for name, _ in groups]
        for group in (birds, aviary, empty):
            status = 200 if group in [one for _, one in groups] else 403
            for path in ("", "/snapshot", "/memory"):
                found = await client.get(f"/board-groups/{group.id}{path}")
                assert found.status_code == status, (group.name, path)
    assert (await alice.get("/board-groups?limit=1&offset=1")).json()["total"] == 3


async def test_group_of_another_organization_is_not_found(
    charlie: Client, client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """S24, fixed."""
    async with transaction() as session:
        group = await create_group_of(session, world.board)
    at = f"/board-groups/{group.id}"
    for id in (group.id, new_id()):
        path = f"/board-groups/{id}"
        assert (await charlie.get(path)).json()["code"] == "board_group_not_found"
        assert (await charlie.get(f"{path}/snapshot")).status_code == 404
        assert (await charlie.patch(path, json={"name": "Mine"})).status_code == 404
        assert (await charlie.delete(path)).status_code == 404
        for client in (charlie, client_for(world.charlies_worker)):
            response = await client.post(f"{path}/heartbeat", json={"every": "5m"})
            assert response.status_code == 404
    assert (await charlie.get("/board-groups")).json()["items"] == []
    assert (await client_for(world.alice).get(at)).json()["name"] == "Birds"


async def test_deleting_a_group_keeps_boards_and_notifies_agents_once(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 35. C24, fixed."""
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        session.add(make_group_note(group))
    assert (await alice.delete(f"/board-groups/{group.id}")).json() == {"ok": True}
    assert (await alice.get(f"/board-groups/{group.id}")).status_code == 404
    for board in (world.board, world.garden):
        assert (await alice.get(f"/boards/{board.id}")).json()["board_group_id"] is None
    async with transaction() as session:
        assert (await session.scalars(select(GroupNote))).all() == []
        query = select(Agent.name, Message).join(Message, Message.agent_id == Agent.id)
        rows = (await session.execute(query.order_by(Agent.name))).all()
        assert [name for name, _ in rows] == ["Gardener", "Lead", "Other worker", "Worker"]
        for name, message in rows:
            assert message.kind == "BOARD GROUP UPDATED"
            assert (
                "Left Board: " + ("Garden" if name == "Gardener" else "Launch") in message.content
            )
            assert (message.delivery_events or {})["told"] == EventType.GROUP_LEAVE_NOTIFIED
        types = [EventType.BOARD_UPDATED, EventType.BOARD_GROUP_DELETED]
        events = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        recorded = [(event.type, event.board_id) for event in await session.scalars(events)]
    assert sorted(recorded[:2], key=str) == sorted(
        [(types[0], world.board.id), (types[0], world.garden.id)], key=str
    )
    assert recorded[2:] == [(types[1], None)]


async def test_group_snapshot_contains_readable_boards(
    alice: Client, bob: Client, world: World, transaction: TransactionFactory
) -> None:
    """3.7."""
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        garden = await session.get_one(Board, world.garden.id)
        session.add_all([make_task(garden, f"Weed {n}") for n in range(7)])
        session.add(make_task(garden, "Sown", status="done"))
    at = f"/board-groups/{group.id}/snapshot"
    snapshot = (await alice.get(at)).json()
    assert snapshot["group"] == (await alice.get(f"/board-groups/{group.id}")).json()
    assert [one["board"]["name"] for one in snapshot["boards"]] == ["Garden", "Launch"]
    assert snapshot["boards"][0]["task_counts"] == {"inbox": 7, "done": 1}
    assert len(snapshot["boards"][0]["tasks"]) == 5
    full_snapshot = (await alice.get(f"{at}?include_done=true&per_board_task_limit=1000")).json()
    assert len(full_snapshot["boards"][0]["tasks"]) == 8
    assert [one["board"]["name"] for one in (await bob.get(at)).json()["boards"]] == ["Launch"]
    assert (await alice.get(f"{at}?per_board_task_limit=-1")).status_code == 422
    assert (await alice.get(f"{at}?per_board_task_limit={10**12}")).status_code == 422


@pytest.mark.parametrize("who", ["alice", "lead"])
async def test_heartbeat_is_set_for_all_agents_of_a_group(
    request: pytest.FixtureRequest, world: World, transaction: TransactionFactory, who: str
) -> None:
    """W-54. 3.7."""
    client: Client = request.getfixturevalue(who)
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
        gardener = await session.get_one(Agent, world.gardener.id)
        gardener.heartbeat_config = {"every": "1h", "target": "all", "more": 1}
    at = f"/board-groups/{group.id}/heartbeat"
    answer = (await client.post(at, json={"every": " 5m "})).json()
    workers = {world.worker.id, world.other_worker.id, world.gardener.id}
    assert {*answer.pop("updated_agent_ids")} == {str(id) for id in workers}
    assert answer == {
        "board_group_id": str(group.id),
        "requested": {"every": " 5m ", "include_board_leads": False},
        "failed_agent_ids": [],
    }
    async with transaction() as session:
        configs = {a.name: a.heartbeat_config for a in await session.scalars(select(Agent))}
        updates = await session.scalars(select(Event).where(Event.type == EventType.AGENT_UPDATED))
        assert {event.agent_id for event in updates} == workers
    default = {"every": "5m", "target": "last", "includeReasoning": False}
    assert configs["Worker"] == configs["Other worker"] == default
    assert configs["Gardener"] == default | {"more": 1}
    assert configs["Lead"] is None
    all_agents = await client.post(at, json={"every": "5m", "include_board_leads": True})
    assert len(all_agents.json()["updated_agent_ids"]) == 4
    async with transaction() as session:
        updates = await session.scalars(select(Event).where(Event.type == EventType.AGENT_UPDATED))
        assert len(updates.all()) == 4


async def test_group_heartbeat_is_validated_and_restricted(
    alice: Client,
    lead: Client,
    worker: Client,
    bob: Client,
    dana: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """C18, fixed."""
    async with transaction() as session:
        group = await create_group_of(session, world.board)
        other_group = await create_group_of(session, world.garden, name="Aviary")
    at = f"/board-groups/{group.id}/heartbeat"
    for every in ("banana", "", "10", "m", "-5m", "5 m", "1h banana"):
        response = await alice.post(at, json={"every": every})
        assert response.status_code == 422, every
        assert response.json()["detail"][0]["loc"] == ["body", "every"]
    assert (await alice.post(at, json={})).status_code == 422
    for client in (worker, bob, dana):
        assert (await client.post(at, json={"every": "5m"})).status_code == 403
    other = f"/board-groups/{other_group.id}/heartbeat"
    assert (await lead.post(other, json={"every": "5m"})).status_code == 403
    assert (
        await lead.post(f"/board-groups/{new_id()}/heartbeat", json={"every": "5m"})
    ).status_code == 404
    for every in ("30s", "1h30m", "0m"):
        assert (await lead.post(at, json={"every": every})).status_code == 200


async def test_heartbeat_of_a_group_with_an_empty_board_includes_new_agents(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """Each request applies to the agents that are in the group at that time."""
    async with transaction() as session:
        empty = make_board("Bare", world.tern)
        session.add(empty)
        await session.flush()
        group = await create_group_of(session, empty)
        await session.flush()
    at = f"/board-groups/{group.id}/heartbeat"
    assert (await alice.post(at, json={"every": "5m"})).json()["updated_agent_ids"] == []
    async with transaction() as session:
        board = await session.get_one(Board, empty.id)
        new = make_agent("New", board)
        session.add(new)
    assert (await alice.post(at, json={"every": "5m"})).json()["updated_agent_ids"] == [str(new.id)]
