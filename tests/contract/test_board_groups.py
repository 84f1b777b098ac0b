"""The contract (people-and-boards 3.7, and 35 of its checklist): groups of boards."""

import pytest
from sqlalchemy import select

from models import Agent, Board, Event, EventType, GroupNote, Message, new_id
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.remembering import a_group, a_group_note, grouped
from tests.world import World, a_board, a_task, an_agent

NEW = {"name": "Spring launch"}


async def test_a_group_is_made_by_an_admin_with_a_slug_of_its_name(
    alice: Client, bob: Client, dana: Client, worker: Client, world: World
) -> None:
    made = (await alice.post("/board-groups", json=NEW)).json()
    assert made == made | {
        "name": "Spring launch",
        "slug": "spring-launch",
        "description": None,
        "organization_id": str(world.tern.id),
    }
    assert (await alice.get(f"/board-groups/{made['id']}")).json() == made
    own = {"name": "Summer", "slug": "s1", "description": "All of it"}
    assert (await dana.post("/board-groups", json=own)).json() | own == (
        await dana.get("/board-groups")
    ).json()["items"][1]
    nameless = (await alice.post("/board-groups", json={"name": "春", "slug": " "})).json()
    assert len(nameless["slug"]) == 32
    for wrong in ({}, {"name": " "}, {"name": "a", "slug": None}, {"name": None, "slug": "a"}):
        assert (await alice.post("/board-groups", json=wrong)).status_code == 422
    assert (await bob.post("/board-groups", json=NEW)).status_code == 403
    assert (await worker.post("/board-groups", json=NEW)).status_code == 401


async def test_a_slug_is_there_once_in_an_organization(alice: Client, charlie: Client) -> None:
    first = (await alice.post("/board-groups", json=NEW)).json()
    for again in (NEW, {"name": "Other", "slug": "spring-launch"}):
        refused = await alice.post("/board-groups", json=again)
        assert (refused.status_code, refused.json()["code"]) == (409, "board_group_slug_taken")
    other = (await alice.post("/board-groups", json={"name": "Other"})).json()
    at = f"/board-groups/{other['id']}"
    assert (await alice.patch(at, json={"slug": first["slug"]})).status_code == 409
    assert (await alice.get(at)).json() == other
    assert (await charlie.post("/board-groups", json=NEW)).status_code == 200


async def test_a_group_is_changed_by_admins_who_may(
    alice: Client, bob: Client, dana: Client, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        group = await grouped(session, world.board)
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
        told = await session.scalars(
            select(Event).where(Event.type == EventType.BOARD_GROUP_UPDATED).order_by(Event.seq)
        )
        assert [sorted(event.data["changes"]) for event in told] == [
            ["description", "name"],
            ["slug"],
            ["name", "slug"],
            ["description"],
        ]


async def test_who_reads_one_board_of_a_group_reads_the_group(
    alice: Client, bob: Client, rita: Client, dana: Client, world: World, transaction: Transaction
) -> None:
    """1.12."""
    async with transaction() as session:
        birds = await grouped(session, world.board)
        aviary = await grouped(session, world.garden, name="aviary")
        empty = a_group(world.tern, "Nothing")
        session.add(empty)
    seen = {
        alice: [("aviary", aviary), ("Birds", birds), ("Nothing", empty)],
        bob: [("Birds", birds)],
        rita: [("Birds", birds)],
        dana: [("Nothing", empty)],
    }
    for client, groups in seen.items():
        page = (await client.get("/board-groups")).json()
        assert [one["name"] for one in page["items"]] == [name for name, _ in groups]
        for group in (birds, aviary, empty):
            status = 200 if group in [one for _, one in groups] else 403
            for path in ("", "/snapshot", "/memory"):
                found = await client.get(f"/board-groups/{group.id}{path}")
                assert found.status_code == status, (group.name, path)
    assert (await alice.get("/board-groups?limit=1&offset=1")).json()["total"] == 3


async def test_a_group_of_others_is_not_found(
    charlie: Client, calling: Caller, world: World, transaction: Transaction
) -> None:
    """S24, fixed."""
    async with transaction() as session:
        group = await grouped(session, world.board)
    at = f"/board-groups/{group.id}"
    for id in (group.id, new_id()):
        path = f"/board-groups/{id}"
        assert (await charlie.get(path)).json()["code"] == "board_group_not_found"
        assert (await charlie.get(f"{path}/snapshot")).status_code == 404
        assert (await charlie.patch(path, json={"name": "Mine"})).status_code == 404
        assert (await charlie.delete(path)).status_code == 404
        for client in (charlie, calling(world.charlies_worker)):
            beat = await client.post(f"{path}/heartbeat", json={"every": "5m"})
            assert beat.status_code == 404
    assert (await charlie.get("/board-groups")).json()["items"] == []
    assert (await calling(world.alice).get(at)).json()["name"] == "Birds"


async def test_boards_outlive_their_group_and_every_agent_hears_of_it_once(
    alice: Client, world: World, transaction: Transaction
) -> None:
    """Point 35. C24, fixed."""
    async with transaction() as session:
        group = await grouped(session, world.board, world.garden)
        session.add(a_group_note(group))
    assert (await alice.delete(f"/board-groups/{group.id}")).json() == {"ok": True}
    assert (await alice.get(f"/board-groups/{group.id}")).status_code == 404
    for board in (world.board, world.garden):
        assert (await alice.get(f"/boards/{board.id}")).json()["board_group_id"] is None
    async with transaction() as session:
        assert (await session.scalars(select(GroupNote))).all() == []
        told = select(Agent.name, Message).join(Message, Message.agent_id == Agent.id)
        rows = (await session.execute(told.order_by(Agent.name))).all()
        assert [name for name, _ in rows] == ["Gardener", "Lead", "Other worker", "Worker"]
        for name, message in rows:
            assert message.kind == "BOARD GROUP UPDATED"
            assert (
                "Left Board: " + ("Garden" if name == "Gardener" else "Launch") in message.content
            )
            assert (message.told_as or {})["told"] == EventType.GROUP_LEAVE_NOTIFIED
        types = [EventType.BOARD_UPDATED, EventType.BOARD_GROUP_DELETED]
        events = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        happened = [(event.type, event.board_id) for event in await session.scalars(events)]
    assert sorted(happened[:2], key=str) == sorted(
        [(types[0], world.board.id), (types[0], world.garden.id)], key=str
    )
    assert happened[2:] == [(types[1], None)]


async def test_a_glance_at_a_group_shows_the_boards_that_one_reads(
    alice: Client, bob: Client, world: World, transaction: Transaction
) -> None:
    """3.7."""
    async with transaction() as session:
        group = await grouped(session, world.board, world.garden)
        garden = await session.get_one(Board, world.garden.id)
        session.add_all([a_task(garden, f"Weed {n}") for n in range(7)])
        session.add(a_task(garden, "Sown", status="done"))
    at = f"/board-groups/{group.id}/snapshot"
    shown = (await alice.get(at)).json()
    assert shown["group"] == (await alice.get(f"/board-groups/{group.id}")).json()
    assert [one["board"]["name"] for one in shown["boards"]] == ["Garden", "Launch"]
    assert shown["boards"][0]["task_counts"] == {"inbox": 7, "done": 1}
    assert len(shown["boards"][0]["tasks"]) == 5
    everything = (await alice.get(f"{at}?include_done=true&per_board_task_limit=1000")).json()
    assert len(everything["boards"][0]["tasks"]) == 8
    assert [one["board"]["name"] for one in (await bob.get(at)).json()["boards"]] == ["Launch"]
    assert (await alice.get(f"{at}?per_board_task_limit=-1")).status_code == 422
    assert (await alice.get(f"{at}?per_board_task_limit={10**12}")).status_code == 422


@pytest.mark.parametrize("who", ["alice", "lead"])
async def test_a_cadence_is_set_for_all_agents_of_a_group(
    request: pytest.FixtureRequest, world: World, transaction: Transaction, who: str
) -> None:
    """W-54. 3.7."""
    client: Client = request.getfixturevalue(who)
    async with transaction() as session:
        group = await grouped(session, world.board, world.garden)
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
        told = await session.scalars(select(Event).where(Event.type == EventType.AGENT_UPDATED))
        assert {event.agent_id for event in told} == workers
    usual = {"every": "5m", "target": "last", "includeReasoning": False}
    assert configs["Worker"] == configs["Other worker"] == usual
    assert configs["Gardener"] == usual | {"more": 1}
    assert configs["Lead"] is None
    everybody = await client.post(at, json={"every": "5m", "include_board_leads": True})
    assert len(everybody.json()["updated_agent_ids"]) == 4
    async with transaction() as session:
        told = await session.scalars(select(Event).where(Event.type == EventType.AGENT_UPDATED))
        assert len(told.all()) == 4


async def test_a_cadence_is_one_and_only_some_may_set_it(
    alice: Client,
    lead: Client,
    worker: Client,
    bob: Client,
    dana: Client,
    world: World,
    transaction: Transaction,
) -> None:
    """C18, fixed."""
    async with transaction() as session:
        group = await grouped(session, world.board)
        beside = await grouped(session, world.garden, name="Aviary")
    at = f"/board-groups/{group.id}/heartbeat"
    for every in ("banana", "", "10", "m", "-5m", "5 m", "1h banana"):
        refused = await alice.post(at, json={"every": every})
        assert refused.status_code == 422, every
        assert refused.json()["detail"][0]["loc"] == ["body", "every"]
    assert (await alice.post(at, json={})).status_code == 422
    for client in (worker, bob, dana):
        assert (await client.post(at, json={"every": "5m"})).status_code == 403
    other = f"/board-groups/{beside.id}/heartbeat"
    assert (await lead.post(other, json={"every": "5m"})).status_code == 403
    assert (
        await lead.post(f"/board-groups/{new_id()}/heartbeat", json={"every": "5m"})
    ).status_code == 404
    for every in ("30s", "1h30m", "0m"):
        assert (await lead.post(at, json={"every": every})).status_code == 200


async def test_an_agent_of_a_new_board_and_of_none_are_not_mistaken(
    alice: Client, world: World, transaction: Transaction
) -> None:
    """A group takes in whatever boards are in it when it is asked, those without agents too."""
    async with transaction() as session:
        bare = a_board("Bare", world.tern)
        session.add(bare)
        await session.flush()
        group = await grouped(session, bare)
        await session.flush()
    at = f"/board-groups/{group.id}/heartbeat"
    assert (await alice.post(at, json={"every": "5m"})).json()["updated_agent_ids"] == []
    async with transaction() as session:
        board = await session.get_one(Board, bare.id)
        new = an_agent("New", board)
        session.add(new)
    assert (await alice.post(at, json={"every": "5m"})).json()["updated_agent_ids"] == [str(new.id)]
