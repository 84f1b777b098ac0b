"""Streams: what happens is told once, in order, to those who may hear it."""

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
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import AgentStatus, BoardAccess, Member, Role
from services import boards, identity, tasks
from services.events import Feed
from tests.api.conftest import Caller, client_of
from tests.api.listening import Listener, listening
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main

ASK = {"action_type": "deploy", "confidence": 80, "payload": {"reason": "It is ready."}}


async def test_a_question_and_its_answer_are_told_as_they_happen(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """C21."""
    worker, alice = really_calling(real_world.worker), really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/approvals"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        asked = (await worker.post(path, json=ASK)).json()
        heard = await stream.next()
        assert heard.name == "approval"
        assert heard.data["approval"] == asked
        assert heard.data["pending_approvals_count"] == 1
        assert "task_counts" not in heard.data

        await alice.patch(f"{path}/{asked['id']}", json={"status": "approved"})
        later = await stream.next()
        assert later.data["approval"]["status"] == "approved"
        assert later.data["pending_approvals_count"] == 0
        assert later.id > heard.id

        await alice.patch(f"{path}/{asked['id']}", json={"status": "pending"})
        reopened = await stream.next()
        assert reopened.data["approval"]["status"] == "pending"
        assert reopened.data["pending_approvals_count"] == 1
        assert await stream.hears_nothing()


async def test_a_question_about_tasks_tells_how_many_each_has(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    alice, board = really_calling(real_world.alice), f"/boards/{real_world.board.id}"
    one, two = [
        (await alice.post(f"{board}/tasks", json={"title": title})).json()["id"]
        for title in ("one", "two")
    ]
    async with listening(real_house, real_world.worker, f"{board}/approvals/stream") as stream:
        asked = (await alice.post(f"{board}/approvals", json={**ASK, "task_id": one})).json()
        counts = {"approvals_count": 1, "approvals_pending_count": 1}
        assert (await stream.next()).data["task_counts"] == {"task_id": one, **counts}
        await alice.patch(f"{board}/approvals/{asked['id']}", json={"status": "rejected"})
        await stream.next()
        await alice.post(f"{board}/approvals", json={**ASK, "task_ids": [two, one]})
        assert (await stream.next()).data["task_counts"] == [
            {"task_id": two, **counts},
            {"task_id": one, "approvals_count": 2, "approvals_pending_count": 1},
        ]


async def test_approvals_go_and_come_back_with_the_task_that_they_are_about(
    real_house: ASGIApp,
    really_calling: Caller,
    real_transaction: Transaction,
    real_world: World,
) -> None:
    alice, board = really_calling(real_world.alice), f"/boards/{real_world.board.id}"
    one, two = [
        (await alice.post(f"{board}/tasks", json={"title": title})).json()["id"]
        for title in ("one", "two")
    ]
    about = [{"task_id": one}, {"task_id": two}, {"action_type": "deploy"}]
    asked = [(await alice.post(f"{board}/approvals", json={**ASK, **it})).json() for it in about]
    async with listening(real_house, real_world.worker, f"{board}/approvals/stream") as stream:
        await alice.delete(f"{board}/tasks/{one}")
        gone = {"approval": {"id": asked[0]["id"]}, "deleted": True, "pending_approvals_count": 2}
        assert (await stream.next()).data == gone
        async with real_transaction() as session:
            held = await boards.hold(session, real_world.alice, real_world.board.id)
            await tasks.restore(session, real_world.alice, held, UUID(one))
        back = (await stream.next()).data
        assert (back["approval"], back["pending_approvals_count"]) == (asked[0], 3)
        assert await stream.hears_nothing()


async def test_who_loses_the_token_hears_no_more(
    real_house: ASGIApp, real_transaction: Transaction, real_world: World
) -> None:
    path = f"/boards/{real_world.board.id}/approvals/stream"
    async with listening(real_house, real_world.alice, path) as stream:
        async with real_transaction() as session:
            [token] = await identity.api_tokens(session, real_world.alice)
            await identity.revoke_api_token(session, real_world.alice, token.id)
        await stream.ended(patience=4.5)


async def test_whatever_happens_to_a_task_is_told_in_order_and_once(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    worker, alice = really_calling(real_world.worker), really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/tasks"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        made = (await alice.post(path, json={"title": "Write"})).json()
        task = f"{path}/{made['id']}"
        claimed = (await worker.patch(task, json={"status": "in_progress"})).json()
        said = (await worker.post(f"{task}/comments", json={"message": "Half of it."})).json()
        created, moved, comment = [await stream.next() for _ in range(3)]
        await alice.delete(task)
        deleted = await stream.next()
        assert {heard.name for heard in (created, moved, comment, deleted)} == {"task"}
        assert created.data["type"] == "task.created"
        assert moved.data["type"] == "task.status_changed"
        assert moved.data["activity"]["message"] == "Task moved to in progress: Write"
        assert moved.data["activity"]["agent_id"] == str(real_world.worker.id)
        assert moved.data["task"] == claimed
        assert comment.data["type"] == "task.comment"
        assert comment.data["comment"] == said
        assert "task" not in comment.data
        assert deleted.data["type"] == "task.deleted"
        assert deleted.data["task"] is None
        assert created.id < moved.id < comment.id < deleted.id
        assert await stream.hears_nothing()


async def titles(stream: Listener, count: int) -> list[str]:
    """Return the titles of the next tasks that a stream tells of."""
    return [(await stream.next()).data["task"]["title"] for _ in range(count)]


async def test_who_comes_back_hears_what_was_missed_and_nothing_twice(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """C20."""
    alice = really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/tasks"
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        await alice.post(path, json={"title": "one"})
        last = (await stream.next()).id
    await alice.post(path, json={"title": "two"})
    await alice.post(f"/boards/{real_world.garden.id}/tasks", json={"title": "elsewhere"})
    await alice.post(path, json={"title": "three"})

    came_back = {"Last-Event-ID": str(last)}
    async with listening(real_house, real_world.worker, f"{path}/stream", **came_back) as stream:
        assert await titles(stream, 2) == ["two", "three"]
        await alice.post(path, json={"title": "four"})
        assert await titles(stream, 1) == ["four"]
        assert await stream.hears_nothing()
    ahead = {"Last-Event-ID": str(10**15)}
    async with listening(real_house, real_world.worker, f"{path}/stream", **ahead) as stream:
        await alice.post(path, json={"title": "five"})
        assert await titles(stream, 1) == ["five"]


@pytest.mark.parametrize("id", ["nonsense", "-1", "9" * 30, "1.5", "²"])
async def test_a_last_event_that_is_no_number_is_refused(
    calling: Caller, world: World, id: str
) -> None:
    response = await calling(world.worker).get(
        f"/boards/{world.board.id}/tasks/stream", headers=[(b"Last-Event-ID", id.encode())]
    )
    assert response.status_code == 422
    assert response.json()["detail"]


async def test_since_tells_what_happened_from_that_moment_on_itself_included(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    alice = really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/tasks"
    for title in ("one", "two", "three"):
        await alice.post(path, json={"title": title})
    happened = (await alice.get("/activity")).json()["items"]
    [moment] = [one["created_at"] for one in happened if one["message"].endswith("two")]
    stream_path = f"{path}/stream?since={moment}"
    async with listening(real_house, real_world.worker, stream_path) as stream:
        assert await titles(stream, 2) == ["two", "three"]
        assert await stream.hears_nothing()
    async with listening(real_house, real_world.worker, f"{path}/stream") as stream:
        assert await stream.hears_nothing()


async def test_a_task_that_was_deleted_meanwhile_is_told_as_gone(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """C22."""
    alice = really_calling(real_world.alice)
    path = f"/boards/{real_world.board.id}/tasks"
    made = (await alice.post(path, json={"title": "one"})).json()
    await alice.post(f"{path}/{made['id']}/comments", json={"message": "Hm"})
    await alice.delete(f"{path}/{made['id']}")
    since = f"{path}/stream?since=2026-01-01"
    async with listening(real_house, real_world.worker, since) as stream:
        heard = [await stream.next() for _ in range(2)]
        assert [one.data["type"] for one in heard] == ["task.created", "task.deleted"]
        assert [one.data["task"] for one in heard] == [None, None]


async def test_comments_are_followed_across_the_boards_that_one_reads(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """P3."""
    alice, feed = really_calling(real_world.alice), "/activity/task-comments/stream"
    async with (
        listening(real_house, real_world.alice, feed) as alices,
        listening(real_house, real_world.bob, feed) as bobs,
        listening(real_house, real_world.charlie, feed) as charlies,
    ):
        for board in (real_world.garden, real_world.board):
            path = f"/boards/{board.id}/tasks"
            made = (await alice.post(path, json={"title": "Write"})).json()
            comment = {"message": f"On {board.name}"}
            await alice.post(f"{path}/{made['id']}/comments", json=comment)
        heard = [(await alices.next()).data["comment"]["message"] for _ in range(2)]
        assert heard == ["On Garden", "On Launch"]
        assert (await bobs.next()).data["comment"]["message"] == "On Launch"
        assert await bobs.hears_nothing()
        assert await charlies.hears_nothing()


async def test_a_board_that_is_new_is_heard_of_at_once(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    alice, feed = really_calling(real_world.alice), "/activity/task-comments/stream"
    async with listening(real_house, real_world.alice, feed) as stream:
        new = {"name": "New", "description": "Just made", "board_type": "general"}
        board = (await alice.post("/boards", json=new)).json()
        path = f"/boards/{board['id']}/tasks"
        task = (await alice.post(path, json={"title": "Write"})).json()
        await alice.post(f"{path}/{task['id']}/comments", json={"message": "First"})
        assert (await stream.next()).data["comment"]["message"] == "First"


async def test_agents_are_followed_as_they_come_and_go(
    real_house: ASGIApp, really_calling: Caller, real_world: World
) -> None:
    """W-45."""
    alice = really_calling(real_world.alice)
    async with listening(real_house, real_world.alice, "/agents/stream") as stream:
        new = {"name": "Ada", "board_id": str(real_world.board.id)}
        made = (await alice.post("/agents", json=new)).json()
        heard = await stream.next()
        assert heard.name == "agent"
        assert heard.data["agent"] == {key: made[key] for key in made.keys() - {"token"}}
        await alice.post("/agents/heartbeat", json={"name": "Ada"})
        assert (await stream.next()).data["agent"]["status"] == "online"
        await alice.delete(f"/agents/{made['id']}")
        gone = await stream.next()
        assert (gone.name, gone.data) == ("agent.deleted", {"agent_id": made["id"]})


async def test_the_agents_of_gateways_are_followed_too_and_by_their_admins_alone(
    real_house: ASGIApp, real_transaction: Transaction, real_world: World
) -> None:
    """W-45: an agent that looks after a gateway is on no board."""
    gateway = a_gateway(real_world.tern)
    rows = a_main(gateway)
    rows[0].status, rows[0].last_seen_at = AgentStatus.PROVISIONING, None
    async with real_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
    of_launch = f"/agents/stream?board_id={real_world.board.id}"
    async with (
        listening(real_house, real_world.alice, "/agents/stream") as alices,
        listening(real_house, real_world.dana, "/agents/stream") as danas,
        listening(real_house, real_world.alice, of_launch) as of_one_board,
        listening(real_house, real_world.charlie, "/agents/stream") as charlies,
    ):
        await client_of(real_house, rows[0]).post("/agent/heartbeat")
        for stream in (alices, danas):
            heard = (await stream.next()).data["agent"]
            assert (heard["name"], heard["status"]) == (rows[0].name, "online")
            assert heard["is_gateway_main"] is True
        for stream in (of_one_board, charlies):
            assert await stream.hears_nothing()


async def test_strangers_follow_nothing(calling: Caller, world: World) -> None:
    board = f"/boards/{world.board.id}"
    for stranger in (world.charlie, world.charlies_worker):
        for path in (f"{board}/tasks/stream", f"{board}/approvals/stream"):
            assert (await calling(stranger).get(path)).status_code == 404
    feed = f"/activity/task-comments/stream?board_id={world.board.id}"
    assert (await calling(world.charlie).get(feed)).status_code == 404
    agents = f"/agents/stream?board_id={world.board.id}"
    assert (await calling(world.charlie).get(agents)).status_code == 404
    assert (await calling(world.bob).get("/agents/stream")).status_code == 403


async def test_who_loses_the_board_hears_no_more_of_it(
    real_house: ASGIApp, really_calling: Caller, real_transaction: Transaction, real_world: World
) -> None:
    """S25."""
    alice, launch = really_calling(real_world.alice), f"/boards/{real_world.board.id}"
    async with (
        listening(real_house, real_world.bob, f"{launch}/tasks/stream") as of_tasks,
        listening(real_house, real_world.bob, "/activity/task-comments/stream") as of_comments,
        listening(real_house, real_world.rita, "/activity/task-comments/stream") as ritas,
        listening(real_house, real_world.worker, f"{launch}/tasks/stream") as workers,
    ):
        async with real_transaction() as session:
            lost = BoardAccess.organization_member_id.in_([real_world.bobs.id, real_world.ritas.id])
            await session.execute(delete(BoardAccess).where(lost))
            await session.execute(delete(Member).where(Member.id == real_world.bobs.id))
        await asyncio.gather(of_tasks.ended(4.5), of_comments.ended(4.5))
        made = (await alice.post(f"{launch}/tasks", json={"title": "Write"})).json()
        await alice.post(f"{launch}/tasks/{made['id']}/comments", json={"message": "Hm"})
        assert await ritas.hears_nothing()
        assert (await workers.next()).data["type"] == "task.created"
        await alice.delete(f"/agents/{real_world.worker.id}")
        await workers.ended(4.5)


async def test_a_stream_ends_quietly_when_the_database_is_away(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> None:
    """Whoever comes back with Last-Event-ID has missed nothing."""
    is_away = False

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession, None]:
        if is_away:
            raise ConnectionRefusedError
        async with real_transaction() as session:
            yield session

    feed = Feed(transaction, Doorbell())
    built = app.build(own_settings)
    state = app.state_of(own_settings, transaction, Doorbell(), feed)

    async def house(scope: Any, receive: Any, send: Any) -> None:
        await built({**scope, "state": state}, receive, send)

    path = f"/boards/{real_world.board.id}/tasks/stream"
    async with listening(house, real_world.worker, path) as stream:
        is_away = True
        await stream.ended()
        assert stream.status == 200
    await feed.close()


async def test_who_is_no_admin_any_more_follows_no_agents(
    real_house: ASGIApp, real_transaction: Transaction, real_world: World
) -> None:
    """S25."""
    async with listening(real_house, real_world.alice, "/agents/stream") as stream:
        async with real_transaction() as session:
            member = await session.get_one(Member, real_world.alices.id)
            member.role = Role.MEMBER
        await stream.ended(4.5)


async def test_many_who_follow_share_what_is_told_and_hold_no_connection(
    own_settings: Settings, real_world: World
) -> None:
    """P1 and P2 of the contract: the pool has two connections, and thirty listen."""
    engine = create_async_engine(own_settings.sqlalchemy_url, pool_size=2, max_overflow=0)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    doorbell = Doorbell()
    ringing = asyncio.create_task(doorbell.listen(own_settings.dsn))
    feed = Feed(transaction, doorbell)
    built = app.build(own_settings)
    state = app.state_of(own_settings, transaction, doorbell, feed)

    async def house(scope: Any, receive: Any, send: Any) -> None:
        await built({**scope, "state": state}, receive, send)

    path = f"/boards/{real_world.board.id}/tasks"
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(listening(house, real_world.worker, f"{path}/stream"))
            for _ in range(30)
        ]
        read: list[str] = []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *run: read.append(run[2]))
        alice = client_of(house, real_world.alice)
        await alice.post(path, json={"title": "one"})
        assert [await titles(stream, 1) for stream in streams] == [["one"]] * 30
        of_tasks = [statement for statement in read if statement.startswith("SELECT tasks.")]
        assert len(of_tasks) == 2  # for the answer to who created it, and for all who listen
        assert len({stream.raw for stream in streams}) == 1
        assert isinstance(engine.pool, AsyncAdaptedQueuePool)
        assert engine.pool.checkedout() == 0
    await feed.close()
    ringing.cancel()
    await engine.dispose()
