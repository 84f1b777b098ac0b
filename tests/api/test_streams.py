"""Streams: every event is sent once, in order, to authorized subscribers."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from core.db.engine import TransactionFactory
from models import AgentStatus, Event, EventRetention, EventType
from services import boards, tasks
from tests.support.api_fixtures import ClientFactory, create_client
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.stream_client import open_stream, read_titles
from tests.support.world import World

ASK = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}


async def test_a_request_and_its_decision_are_streamed_immediately(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """C21."""
    worker, alice = (
        committing_client_for(isolated_world.worker),
        committing_client_for(isolated_world.alice),
    )
    path = f"/boards/{isolated_world.board.id}/approvals"
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        approval = (await worker.post(path, json=ASK)).json()
        received = await stream.next_message()
        assert received.name == "approval"
        assert received.data["approval"] == approval
        assert received.data["pending_approvals_count"] == 1
        assert "task_counts" not in received.data

        await alice.patch(f"{path}/{approval['id']}", json={"status": "approved"})
        later = await stream.next_message()
        assert later.data["approval"]["status"] == "approved"
        assert later.data["pending_approvals_count"] == 0
        assert later.id > received.id

        refused = await alice.patch(f"{path}/{approval['id']}", json={"status": "pending"})
        assert refused.status_code == 409
        assert await stream.is_silent()


async def test_an_approval_of_tasks_is_streamed_with_task_counts(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice, board = committing_client_for(isolated_world.alice), f"/boards/{isolated_world.board.id}"
    one, two = [
        (await alice.post(f"{board}/tasks", json={"title": title})).json()["id"]
        for title in ("one", "two")
    ]
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{board}/approvals/stream"
    ) as stream:
        approval = (await alice.post(f"{board}/approvals", json={**ASK, "task_id": one})).json()
        counts = {"approvals_count": 1, "approvals_pending_count": 1}
        assert (await stream.next_message()).data["task_counts"] == {"task_id": one, **counts}
        await alice.patch(f"{board}/approvals/{approval['id']}", json={"status": "rejected"})
        await stream.next_message()
        await alice.post(f"{board}/approvals", json={**ASK, "task_ids": [two, one]})
        assert (await stream.next_message()).data["task_counts"] == [
            {"task_id": two, **counts},
            {"task_id": one, "approvals_count": 2, "approvals_pending_count": 1},
        ]


async def test_approvals_are_deleted_and_restored_with_their_task(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> None:
    alice, board = committing_client_for(isolated_world.alice), f"/boards/{isolated_world.board.id}"
    one, two = [
        (await alice.post(f"{board}/tasks", json={"title": title})).json()["id"]
        for title in ("one", "two")
    ]
    about = [{"task_id": one}, {"task_id": two}, {"action_type": "deploy"}]
    approval = [(await alice.post(f"{board}/approvals", json={**ASK, **it})).json() for it in about]
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{board}/approvals/stream"
    ) as stream:
        await alice.delete(f"{board}/tasks/{one}")
        gone = {
            "approval": {"id": approval[0]["id"]},
            "deleted": True,
            "pending_approvals_count": 2,
        }
        assert (await stream.next_message()).data == gone
        async with isolated_transaction() as session:
            locked_board = await boards.lock_board(
                session, isolated_world.alice, isolated_world.board.id
            )
            await tasks.restore_task(session, isolated_world.alice, locked_board, UUID(one))
        back = (await stream.next_message()).data
        assert (back["approval"], back["pending_approvals_count"]) == (approval[0], 3)
        assert await stream.is_silent()


async def test_every_task_event_is_streamed_once_and_in_order(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    worker, alice = (
        committing_client_for(isolated_world.worker),
        committing_client_for(isolated_world.alice),
    )
    path = f"/boards/{isolated_world.board.id}/tasks"
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        created_row = (await alice.post(path, json={"title": "Write"})).json()
        task = f"{path}/{created_row['id']}"
        claimed = (await worker.patch(task, json={"status": "in_progress"})).json()
        posted = (await worker.post(f"{task}/comments", json={"message": "Half of it."})).json()
        created, moved, comment = [await stream.next_message() for _ in range(3)]
        await alice.delete(task)
        deleted = await stream.next_message()
        assert {received.name for received in (created, moved, comment, deleted)} == {"task"}
        assert created.data["type"] == "task.created"
        assert moved.data["type"] == "task.status_changed"
        assert moved.data["activity"]["message"] == "Task moved to in progress: Write"
        assert moved.data["activity"]["agent_id"] == str(isolated_world.worker.id)
        assert moved.data["task"] == claimed
        assert comment.data["type"] == "task.comment"
        assert comment.data["comment"] == posted
        assert "task" not in comment.data
        assert deleted.data["type"] == "task.deleted"
        assert deleted.data["task"] is None
        assert created.id < moved.id < comment.id < deleted.id
        assert await stream.is_silent()


async def test_a_reconnecting_client_receives_missed_events_once(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """C20."""
    alice = committing_client_for(isolated_world.alice)
    path = f"/boards/{isolated_world.board.id}/tasks"
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        await alice.post(path, json={"title": "one"})
        last = (await stream.next_message()).id
    await alice.post(path, json={"title": "two"})
    await alice.post(f"/boards/{isolated_world.garden.id}/tasks", json={"title": "elsewhere"})
    await alice.post(path, json={"title": "three"})

    came_back = {"Last-Event-ID": str(last)}
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{path}/stream", **came_back
    ) as stream:
        assert await read_titles(stream, 2) == ["two", "three"]
        await alice.post(path, json={"title": "four"})
        assert await read_titles(stream, 1) == ["four"]
        assert await stream.is_silent()


async def test_a_position_after_all_events_is_answered_with_a_reset(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """A subscriber of events that a restored backup does not contain has to list again."""
    alice = committing_client_for(isolated_world.alice)
    path = f"/boards/{isolated_world.board.id}/tasks"
    ahead = {"Last-Event-ID": str(10**15)}
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{path}/stream", **ahead
    ) as stream:
        reset = await stream.next_message()
        assert (reset.name, reset.data) == ("reset", {"reason": "unknown_event"})
        await alice.post(path, json={"title": "five"})
        task = await stream.next_message()
        assert (task.name, task.data["task"]["title"]) == ("task", "five")
    came_back = {"Last-Event-ID": str(reset.id)}
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{path}/stream", **came_back
    ) as stream:
        assert await read_titles(stream, 1) == ["five"]


@pytest.mark.parametrize("start", ["last event", "since"])
async def test_a_position_before_deleted_events_is_answered_with_a_reset(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    start: str,
) -> None:
    """A subscriber that misses events that were deleted because of their age lists again."""
    alice = committing_client_for(isolated_world.alice)
    path = f"/boards/{isolated_world.board.id}/tasks"
    for title in ("one", "two", "three"):
        await alice.post(path, json={"title": title})
    async with isolated_transaction() as session:
        created = select(Event.seq, Event.created_at).where(Event.type == EventType.TASK_CREATED)
        (first, _), (second, at), _ = (await session.execute(created.order_by(Event.seq))).all()
        progress = {"position": 0, "deleted_seq": second, "deleted_at": at}
        session.add(EventRetention(organization_id=isolated_world.tern.id, **progress))
    old = {"Last-Event-ID": str(first)} if start == "last event" else {}
    address = f"{path}/stream" + (f"?since={at:%Y-%m-%dT%H:%M:%S.%fZ}" if start == "since" else "")
    async with open_stream(committing_api_app, isolated_world.worker, address, **old) as stream:
        reset = await stream.next_message()
        assert (reset.name, reset.data) == ("reset", {"reason": "deleted_events"})
        await alice.post(path, json={"title": "four"})
        assert await read_titles(stream, 1) == ["four"]
    later = at + timedelta(microseconds=1)
    known = {"Last-Event-ID": str(second)} if start == "last event" else {}
    address = f"{path}/stream" + (
        f"?since={later:%Y-%m-%dT%H:%M:%S.%fZ}" if start == "since" else ""
    )
    async with open_stream(committing_api_app, isolated_world.worker, address, **known) as stream:
        assert await read_titles(stream, 2) == ["three", "four"]


@pytest.mark.parametrize("id", ["nonsense", "-1", "9" * 30, "1.5", "²"])
async def test_a_last_event_id_that_is_not_a_number_is_rejected(
    client_for: ClientFactory, world: World, id: str
) -> None:
    response = await client_for(world.worker).get(
        f"/boards/{world.board.id}/tasks/stream", headers=[(b"Last-Event-ID", id.encode())]
    )
    assert response.status_code == 422
    assert response.json()["detail"]


async def test_since_includes_events_at_exactly_that_time(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice = committing_client_for(isolated_world.alice)
    path = f"/boards/{isolated_world.board.id}/tasks"
    for title in ("one", "two", "three"):
        await alice.post(path, json={"title": title})
    happened = (await alice.get("/activity")).json()["items"]
    [moment] = [one["created_at"] for one in happened if one["message"].endswith("two")]
    stream_path = f"{path}/stream?since={moment}"
    async with open_stream(committing_api_app, isolated_world.worker, stream_path) as stream:
        assert await read_titles(stream, 2) == ["two", "three"]
        assert await stream.is_silent()
    async with open_stream(committing_api_app, isolated_world.worker, f"{path}/stream") as stream:
        assert await stream.is_silent()


async def test_a_task_that_was_deleted_meanwhile_is_streamed_as_null(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """C22."""
    alice = committing_client_for(isolated_world.alice)
    path = f"/boards/{isolated_world.board.id}/tasks"
    created_row = (await alice.post(path, json={"title": "one"})).json()
    await alice.post(f"{path}/{created_row['id']}/comments", json={"message": "Hm"})
    await alice.delete(f"{path}/{created_row['id']}")
    since = f"{path}/stream?since=2026-01-01"
    async with open_stream(committing_api_app, isolated_world.worker, since) as stream:
        received = [await stream.next_message() for _ in range(2)]
        assert [one.data["type"] for one in received] == ["task.created", "task.deleted"]
        assert [one.data["task"] for one in received] == [None, None]


async def test_the_comment_stream_covers_all_readable_boards(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """P3."""
    alice, feed = committing_client_for(isolated_world.alice), "/activity/task-comments/stream"
    async with (
        open_stream(committing_api_app, isolated_world.alice, feed) as alices,
        open_stream(committing_api_app, isolated_world.bob, feed) as bobs,
        open_stream(committing_api_app, isolated_world.charlie, feed) as charlies,
    ):
        for board in (isolated_world.garden, isolated_world.board):
            path = f"/boards/{board.id}/tasks"
            created_row = (await alice.post(path, json={"title": "Write"})).json()
            comment = {"message": f"On {board.name}"}
            await alice.post(f"{path}/{created_row['id']}/comments", json=comment)
        received = [(await alices.next_message()).data["comment"]["message"] for _ in range(2)]
        assert received == ["On Garden", "On Launch"]
        assert (await bobs.next_message()).data["comment"]["message"] == "On Launch"
        assert all(await asyncio.gather(bobs.is_silent(), charlies.is_silent()))


async def test_a_new_board_is_included_at_once(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice, feed = committing_client_for(isolated_world.alice), "/activity/task-comments/stream"
    async with open_stream(committing_api_app, isolated_world.alice, feed) as stream:
        new = {"name": "New", "description": "Just made", "board_type": "general"}
        board = (await alice.post("/boards", json=new)).json()
        path = f"/boards/{board['id']}/tasks"
        task = (await alice.post(path, json={"title": "Write"})).json()
        await alice.post(f"{path}/{task['id']}/comments", json={"message": "First"})
        assert (await stream.next_message()).data["comment"]["message"] == "First"


async def test_agents_are_streamed_when_created_changed_and_deleted(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    """W-45."""
    alice = committing_client_for(isolated_world.alice)
    async with open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream:
        new = {"name": "Ada", "board_id": str(isolated_world.board.id)}
        created_row = (await alice.post("/agents", json=new)).json()
        received = await stream.next_message()
        assert received.name == "agent"
        assert received.data["agent"] == {
            key: created_row[key] for key in created_row.keys() - {"token"}
        }
        await alice.post("/agents/heartbeat", json={"name": "Ada"})
        assert (await stream.next_message()).data["agent"]["status"] == "online"
        await alice.delete(f"/agents/{created_row['id']}")
        gone = await stream.next_message()
        assert (gone.name, gone.data) == ("agent.deleted", {"agent_id": created_row["id"]})


async def test_main_agents_are_streamed_to_admins_only(
    committing_api_app: ASGIApp, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-45: the main agent of a gateway has no board."""
    gateway = make_gateway(isolated_world.tern)
    rows = make_main_agent(gateway)
    rows[0].status, rows[0].last_seen_at = AgentStatus.PROVISIONING, None
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
    of_launch = f"/agents/stream?board_id={isolated_world.board.id}"
    async with (
        open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as alices,
        open_stream(committing_api_app, isolated_world.dana, "/agents/stream") as danas,
        open_stream(committing_api_app, isolated_world.alice, of_launch) as of_one_board,
        open_stream(committing_api_app, isolated_world.charlie, "/agents/stream") as charlies,
    ):
        await create_client(committing_api_app, rows[0]).post("/agent/heartbeat")
        for stream in (alices, danas):
            received = (await stream.next_message()).data["agent"]
            assert (received["name"], received["status"]) == (rows[0].name, "online")
            assert received["is_gateway_main"] is True
        assert all(await asyncio.gather(of_one_board.is_silent(), charlies.is_silent()))
