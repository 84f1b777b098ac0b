"""Boards in the API (contract people-and-boards 7, points 30, 34 and 36)."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from core.clock import now
from core.db.engine import TransactionFactory
from models import Board, BoardGroup, Note, new_id
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_task
from tests.support.world import World

NEW = {"name": "Spring", "slug": "spring", "description": "What grows", "board_type": "general"}


async def test_admin_role_alone_gives_no_access_to_boards(
    dana: Client, bob: Client, rita: Client, alice: Client, world: World
) -> None:
    """Point 30."""
    assert (await dana.get("/boards")).json()["items"] == []
    assert (await dana.get(f"/boards/{world.board.id}")).status_code == 403
    for client in (bob, rita):
        assert [one["name"] for one in (await client.get("/boards")).json()["items"]] == ["Launch"]
        assert (await client.get(f"/boards/{world.garden.id}")).status_code == 403
    names = [one["name"] for one in (await alice.get("/boards")).json()["items"]]
    assert names == ["Garden", "Launch"]
    change = {"description": "Changed"}
    assert (await bob.patch(f"/boards/{world.board.id}", json=change)).status_code == 200
    assert (await rita.patch(f"/boards/{world.board.id}", json=change)).status_code == 403


async def test_board_needs_no_gateway_and_rejects_unknown_ones(
    alice: Client, bob: Client, world: World
) -> None:
    """Point 34. Without gateways: docs/decisions/boards-without-gateways.md."""
    created = (await alice.post("/boards", json=NEW)).json()
    assert created | NEW == created
    assert (created["gateway_id"], created["max_agents"]) == (None, 1)
    assert created["require_approval_for_done"] is True
    assert created["organization_id"] == str(world.tern.id)
    assert (await alice.get(f"/boards/{created['id']}")).json() == created
    for field in ("gateway_id", "board_group_id"):
        response = await alice.post("/boards", json={**NEW, field: str(new_id())})
        assert response.status_code == 422
    assert (await bob.post("/boards", json=NEW)).status_code == 403
    assert (await alice.post("/boards", json={**NEW, "description": " "})).status_code == 422


async def test_board_group_must_be_in_the_same_organization(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 34."""
    async with transaction() as session:
        ours, theirs = make_group(world.tern.id), make_group(world.plover.id)
        session.add_all([ours, theirs])
    at = f"/boards/{world.board.id}"
    assert (await alice.patch(at, json={"board_group_id": str(theirs.id)})).status_code == 422
    changed = (await alice.patch(at, json={"board_group_id": str(ours.id)})).json()
    assert changed["board_group_id"] == str(ours.id)


async def test_goal_board_requires_objective_and_metrics(alice: Client, world: World) -> None:
    """3.6; C29, fixed."""
    goal = {**NEW, "board_type": "goal", "goal_confirmed": True}
    assert (await alice.post("/boards", json=goal)).status_code == 422
    complete = {"objective": "Grow", "success_metrics": {"plants": 12}}
    assert (await alice.post("/boards", json={**goal, **complete})).status_code == 200
    at = f"/boards/{world.board.id}"
    assert (await alice.patch(at, json={"board_type": "goal"})).status_code == 422
    assert (await alice.patch(at, json={"board_type": "goal", **complete})).status_code == 200


async def test_update_changes_sent_fields_and_rejects_null_for_required_ones(
    alice: Client, world: World
) -> None:
    """C29. 3.6; C8, fixed."""
    at = f"/boards/{world.board.id}"
    before = (await alice.get(at)).json()
    changed = (await alice.patch(at, json={"max_agents": 5, "nonsense": 1})).json()
    updated = {"version": before["version"] + 1, "updated_at": changed["updated_at"]}
    assert changed == before | {"max_agents": 5, **updated}
    for name in ("name", "slug", "description", "board_type", "max_agents", "goal_confirmed"):
        assert (await alice.patch(at, json={name: None})).status_code == 422, name
    assert (await alice.patch(at, json={"objective": None, "target_date": None})).status_code == 200


async def test_only_admins_change_task_rules_and_delete_boards(
    bob: Client, alice: Client, world: World
) -> None:
    """S7, fixed."""
    at = f"/boards/{world.board.id}"
    assert (await bob.patch(at, json={"require_approval_for_done": True})).status_code == 403
    assert (await bob.delete(at)).status_code == 403
    await alice.post(f"{at}/tasks", json={"title": "Write"})
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(at)).status_code == 404
    assert [one["name"] for one in (await alice.get("/boards")).json()["items"]] == ["Garden"]


async def test_snapshot_contains_all_tasks_and_the_newest_other_items(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 36."""
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        tasks = [make_task(board, f"Task {number}") for number in range(201)]
        session.add_all(tasks)
        for number in range(202):
            rows = world.make_approval(tasks[0], status="approved", action_type=f"{number}")
            rows[0].board = board
            session.add_all([*rows, *make_notes(board, number)])
    for client in (alice, worker):
        snapshot = (await client.get(f"/boards/{world.board.id}/snapshot")).json()
        assert len(snapshot["tasks"]) == 201
        assert len(snapshot["approvals"]) == 200
        messages = [note["content"] for note in snapshot["chat_messages"]]
        assert messages == [f"Said {number}" for number in range(2, 202)]
        assert snapshot["pending_approvals_count"] == 0
        assert snapshot["board"]["name"] == "Launch"
        assert {agent["name"] for agent in snapshot["agents"]} == {"Lead", "Worker", "Other worker"}
        counts = [card["approvals_count"] for card in snapshot["tasks"]]
        assert sorted(counts)[-2:] == [0, 202]
        assert {"assignee", "approvals_pending_count", "custom_field_values"} <= set(
            snapshot["tasks"][0]
        )


async def test_group_snapshot_shows_users_only_readable_boards(
    alice: Client, bob: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """3.6; S8, fixed."""
    at = f"/boards/{world.board.id}/group-snapshot"
    assert (await alice.get(at)).json() == {"group": None, "boards": []}
    async with transaction() as session:
        group = make_group(world.tern.id)
        session.add(group)
        await session.flush()
        for id in (world.board.id, world.garden.id):
            (await session.get_one(Board, id)).board_group_id = group.id
        garden = await session.get_one(Board, world.garden.id)
        session.add_all([make_task(garden, "Weed"), make_task(garden, "Sown", status="done")])
    for client in (alice, worker):
        snapshot = (await client.get(at)).json()
        [board] = snapshot["boards"]
        assert board["board"]["name"] == "Garden"
        assert board["task_counts"] == {"inbox": 1, "done": 1}
        assert [task["title"] for task in board["tasks"]] == ["Weed"]
    assert (await bob.get(at)).json()["boards"] == []
    with_self = (await bob.get(f"{at}?include_self=yes&include_done=1")).json()
    assert [board["board"]["name"] for board in with_self["boards"]] == ["Launch"]
    none = (await alice.get(f"{at}?per_board_task_limit=0")).json()
    assert none["boards"][0]["tasks"] == []
    for limit in ("-1", "101"):
        assert (await alice.get(f"{at}?per_board_task_limit={limit}")).status_code == 422


async def test_agent_reads_its_own_board(worker: Client, world: World) -> None:
    """3.15."""
    [board] = (await worker.get("/agent/boards")).json()["items"]
    assert board == (await worker.get(f"/agent/boards/{world.board.id}")).json()
    assert (await worker.get(f"/boards/{world.board.id}")).status_code == 401
    assert (await worker.get("/boards")).status_code == 401


def make_group(organization_id: Any) -> BoardGroup:
    """Make a board group."""
    fields = {"name": "Group", "slug": "group", "created_at": now(), "updated_at": now()}
    return BoardGroup(id=new_id(), organization_id=organization_id, **fields)


def make_notes(board: Board, number: int) -> list[Note]:
    """Make a chat message and another note."""
    at = now() + timedelta(seconds=number)
    times = {"created_at": at, "updated_at": at}
    message = Note(id=new_id(), board=board, content=f"Said {number}", is_chat=True, **times)
    note = Note(id=new_id(), board=board, content="Kept", is_chat=False, **times)
    return [message, note]


async def test_success_metrics_keep_their_order(alice: Client, world: World) -> None:
    path = f"/boards/{world.board.id}"
    for names in (["visits", "b", "a"], ["a", "visits", "b"]):
        metrics = {name: f"10 {name}" for name in names}
        changed = (await alice.patch(path, json={"success_metrics": metrics})).json()
        read = (await alice.get(path)).json()
        assert list(changed["success_metrics"].items()) == list(metrics.items())
        assert list(read["success_metrics"].items()) == list(metrics.items())
    same = (await alice.patch(path, json={"success_metrics": metrics})).json()
    assert same["version"] == read["version"]


async def test_success_metrics_stored_as_json_object_are_read(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        written = text("""update boards set success_metrics = '{"visits": 10}' where id = :id""")
        await session.execute(written, {"id": world.board.id})
    read = (await alice.get(f"/boards/{world.board.id}")).json()
    assert read["success_metrics"] == {"visits": 10}
