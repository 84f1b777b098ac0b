"""Streams: every event is sent once, in order, to authorized subscribers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import AsyncAdaptedQueuePool, delete, event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.types import ASGIApp

import app
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import AgentStatus, BoardAccess, Member, Role
from services import boards, identity, tasks
from services.events import EventFeed
from tests.support.api_fixtures import ClientFactory, create_client
from tests.support.stream_client import StreamClient, open_stream
from tests.support.world import World, make_gateway, make_main_agent

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


async def test_the_stream_ends_when_the_token_is_revoked(
    committing_api_app: ASGIApp, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    path = f"/boards/{isolated_world.board.id}/approvals/stream"
    async with open_stream(committing_api_app, isolated_world.alice, path) as stream:
        async with isolated_transaction() as session:
            [token] = await identity.list_api_tokens(session, isolated_world.alice)
            await identity.revoke_api_token(session, isolated_world.alice, token.id)
        await stream.wait_for_end(seconds=4.5)


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


async def read_titles(stream: StreamClient, count: int) -> list[str]:
    """Return the titles of the next tasks of a stream."""
    return [(await stream.next_message()).data["task"]["title"] for _ in range(count)]


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
    ahead = {"Last-Event-ID": str(10**15)}
    async with open_stream(
        committing_api_app, isolated_world.worker, f"{path}/stream", **ahead
    ) as stream:
        await alice.post(path, json={"title": "five"})
        assert await read_titles(stream, 1) == ["five"]


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
        assert await bobs.is_silent()
        assert await charlies.is_silent()


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
        for stream in (of_one_board, charlies):
            assert await stream.is_silent()


async def test_users_of_other_organizations_cannot_open_streams(
    client_for: ClientFactory, world: World
) -> None:
    board = f"/boards/{world.board.id}"
    for stranger in (world.charlie, world.charlies_worker):
        for path in (f"{board}/tasks/stream", f"{board}/approvals/stream"):
            assert (await client_for(stranger).get(path)).status_code == 404
    feed = f"/activity/task-comments/stream?board_id={world.board.id}"
    assert (await client_for(world.charlie).get(feed)).status_code == 404
    agents = f"/agents/stream?board_id={world.board.id}"
    assert (await client_for(world.charlie).get(agents)).status_code == 404
    assert (await client_for(world.bob).get("/agents/stream")).status_code == 403


async def test_the_stream_ends_when_access_to_the_board_is_lost(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> None:
    """S25."""
    alice, launch = (
        committing_client_for(isolated_world.alice),
        f"/boards/{isolated_world.board.id}",
    )
    async with (
        open_stream(committing_api_app, isolated_world.bob, f"{launch}/tasks/stream") as of_tasks,
        open_stream(
            committing_api_app, isolated_world.bob, "/activity/task-comments/stream"
        ) as of_comments,
        open_stream(
            committing_api_app, isolated_world.rita, "/activity/task-comments/stream"
        ) as ritas,
        open_stream(committing_api_app, isolated_world.worker, f"{launch}/tasks/stream") as workers,
    ):
        async with isolated_transaction() as session:
            lost = BoardAccess.organization_member_id.in_(
                [isolated_world.bob_member.id, isolated_world.rita_member.id]
            )
            await session.execute(delete(BoardAccess).where(lost))
            await session.execute(delete(Member).where(Member.id == isolated_world.bob_member.id))
        await asyncio.gather(of_tasks.wait_for_end(4.5), of_comments.wait_for_end(4.5))
        created_row = (await alice.post(f"{launch}/tasks", json={"title": "Write"})).json()
        await alice.post(f"{launch}/tasks/{created_row['id']}/comments", json={"message": "Hm"})
        assert await ritas.is_silent()
        assert (await workers.next_message()).data["type"] == "task.created"
        await alice.delete(f"/agents/{isolated_world.worker.id}")
        await workers.wait_for_end(4.5)


async def test_a_stream_ends_quietly_when_the_database_is_unreachable(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """A client that reconnects with Last-Event-ID has missed nothing."""
    is_away = False

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession, None]:
        if is_away:
            raise ConnectionRefusedError
        async with isolated_transaction() as session:
            yield session

    feed = EventFeed(transaction, PostgresListener())
    built = app.build_app(isolated_settings)
    state = app.build_state(isolated_settings, transaction, PostgresListener(), feed)

    async def api_app(scope: Any, receive: Any, send: Any) -> None:
        await built({**scope, "state": state}, receive, send)

    path = f"/boards/{isolated_world.board.id}/tasks/stream"
    async with open_stream(api_app, isolated_world.worker, path) as stream:
        is_away = True
        await stream.wait_for_end()
        assert stream.status == 200
    await feed.close()


async def test_the_agent_stream_ends_when_a_member_is_no_longer_admin(
    committing_api_app: ASGIApp, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """S25."""
    async with open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream:
        async with isolated_transaction() as session:
            member = await session.get_one(Member, isolated_world.alice_member.id)
            member.role = Role.MEMBER
        await stream.wait_for_end(4.5)


async def test_subscribers_share_frames_and_hold_no_connection(
    isolated_settings: Settings, isolated_world: World
) -> None:
    """P1 and P2 of the contract: the pool has two connections for thirty subscribers."""
    engine = create_async_engine(isolated_settings.sqlalchemy_url, pool_size=2, max_overflow=0)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    listener = PostgresListener()
    ringing = asyncio.create_task(listener.listen(isolated_settings.dsn))
    feed = EventFeed(transaction, listener)
    built = app.build_app(isolated_settings)
    state = app.build_state(isolated_settings, transaction, listener, feed)

    async def api_app(scope: Any, receive: Any, send: Any) -> None:
        await built({**scope, "state": state}, receive, send)

    path = f"/boards/{isolated_world.board.id}/tasks"
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                open_stream(api_app, isolated_world.worker, f"{path}/stream")
            )
            for _ in range(30)
        ]
        read: list[str] = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *run: read.append(run[2]))
        alice = create_client(api_app, isolated_world.alice)
        await alice.post(path, json={"title": "one"})
        assert [await read_titles(stream, 1) for stream in streams] == [["one"]] * 30
        of_tasks = [statement for statement in read if statement.startswith("SELECT tasks.")]
        assert len(of_tasks) == 2  # for the response, and for all subscribers
        assert len({stream.raw for stream in streams}) == 1
        assert isinstance(engine.pool, AsyncAdaptedQueuePool)
        assert engine.pool.checkedout() == 0
    await feed.close()
    ringing.cancel()
    await engine.dispose()
