"""Activity in the API (contract people-and-boards 7, point 39)."""

from tests.support.api_fixtures import Client
from tests.support.world import World


async def test_feed_depends_on_the_callers_permissions(
    alice: Client, bob: Client, dana: Client, charlie: Client, worker: Client, world: World
) -> None:
    """Point 39."""
    for board in (world.board, world.garden):
        path = f"/boards/{board.id}/tasks"
        task = (await alice.post(path, json={"title": f"On {board.name}"})).json()
        comment = {"message": f"About {board.name}"}
        await alice.post(f"{path}/{task['id']}/comments", json=comment)
    launch = f"/boards/{world.board.id}/tasks"
    created = (await alice.post(launch, json={"title": "Mine"})).json()
    await worker.patch(f"{launch}/{created['id']}", json={"status": "in_progress"})

    [own] = (await worker.get("/activity")).json()["items"]
    assert own["event_type"] == "task.status_changed"
    assert own["agent_id"] == str(world.worker.id)
    assert own["message"] == "Task moved to in progress: Mine"
    for client, boards in [
        (alice, {world.board.id, world.garden.id}),
        (bob, {world.board.id}),
        (dana, set()),
        (charlie, set()),
    ]:
        entries = (await client.get("/activity")).json()["items"]
        assert {one["board_id"] for one in entries} == {str(id) for id in boards}
    page = (await alice.get("/activity?limit=2&offset=1")).json()
    assert (page["total"], len(page["items"])) == (6, 2)


async def test_event_has_route_hints(alice: Client, worker: Client, world: World) -> None:
    """Point 39. Route hints."""
    board, path = str(world.board.id), f"/boards/{world.board.id}"
    task = (await alice.post(f"{path}/tasks", json={"title": "Write"})).json()
    comment = await alice.post(f"{path}/tasks/{task['id']}/comments", json={"message": "Hm"})
    request = {"action_type": "x", "confidence": 1, "lead_reasoning": "y", "task_id": task["id"]}
    await worker.post(f"{path}/approvals", json=request)
    await alice.patch(path, json={"description": "Changed"})

    hints = {
        one["event_type"]: (one["route_name"], one["route_params"])
        for one in (await alice.get("/activity")).json()["items"]
    }
    task_params = {"boardId": board, "taskId": task["id"]}
    assert hints["task.created"] == ("board", task_params)
    assert hints["task.comment"] == ("board", {**task_params, "commentId": comment.json()["id"]})
    assert hints["approval.requested"] == ("board.approvals", {"boardId": board})
    assert hints["board.updated"] == ("board", {"boardId": board, "panel": "chat"})


async def test_comment_feed_contains_author_task_and_board(
    alice: Client, bob: Client, rita: Client, charlie: Client, worker: Client, world: World
) -> None:
    """3.12."""
    for board, client in ((world.garden, alice), (world.board, worker)):
        path = f"/boards/{board.id}/tasks"
        task = (await alice.post(path, json={"title": f"On {board.name}"})).json()
        await client.post(f"{path}/{task['id']}/comments", json={"message": "Hm"})
    feed = "/activity/task-comments"
    newest, older = (await alice.get(feed)).json()["items"]
    assert newest["agent_name"] == "Worker"
    assert newest["agent_role"] is None
    assert (newest["task_title"], newest["board_name"]) == ("On Launch", "Launch")
    assert (older["agent_id"], older["author_name"]) == (None, "Alice")
    for client in (bob, rita):
        assert (await client.get(feed)).json()["items"] == [newest]
        response = await client.get(f"{feed}?board_id={world.garden.id}")
        assert response.status_code == 403
    assert (await alice.get(f"{feed}?board_id={world.garden.id}")).json()["items"] == [older]
    assert (await charlie.get(feed)).json()["items"] == []
    assert (await charlie.get(f"{feed}?board_id={world.board.id}")).status_code == 404
    assert (await worker.get(feed)).status_code == 401
