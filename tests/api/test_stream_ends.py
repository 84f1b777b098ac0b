"""Who may open a stream, and when it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import AsyncAdaptedQueuePool, delete
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import BoardAccess, Member, Role
from services import identity
from services.events import EventFeed
from services.last_seen import LastSeenBuffer
from tests.support.api_fixtures import ClientFactory, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.statement_counter import count_all_statements
from tests.support.stream_client import open_stream, read_titles
from tests.support.world import World


async def test_the_stream_ends_when_the_token_is_revoked(
    committing_api_app: ASGIApp, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    path = f"/boards/{isolated_world.board.id}/approvals/stream"
    async with open_stream(committing_api_app, isolated_world.alice, path) as stream:
        async with isolated_transaction() as session:
            [token] = await identity.list_api_tokens(session, isolated_world.alice)
            await identity.revoke_api_token(session, isolated_world.alice, token.id)
        await stream.wait_for_end(1)


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
        await asyncio.gather(of_tasks.wait_for_end(1), of_comments.wait_for_end(1))
        created_row = (await alice.post(f"{launch}/tasks", json={"title": "Write"})).json()
        await alice.post(f"{launch}/tasks/{created_row['id']}/comments", json={"message": "Hm"})
        assert await ritas.is_silent()
        assert (await workers.next_message()).data["type"] == "task.created"
        await alice.delete(f"/agents/{isolated_world.worker.id}")
        await workers.wait_for_end(1)


async def test_a_stream_ends_quietly_when_the_database_is_unreachable(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """A stream ends if rights cannot be read again. A client that reconnects has missed nothing."""
    is_away = False

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession, None]:
        if is_away:
            raise ConnectionRefusedError
        async with isolated_transaction() as session:
            yield session

    listener = PostgresListener()
    feed = EventFeed(transaction, listener)
    api_app = build_app_on(
        isolated_settings,
        transaction,
        listener=listener,
        event_feed=feed,
        last_seen=LastSeenBuffer(isolated_transaction),
    )
    path = f"/boards/{isolated_world.board.id}/tasks/stream"
    async with open_stream(api_app, isolated_world.worker, path) as stream:
        is_away = True
        listener.report_missed_notification()
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
        await stream.wait_for_end(1)


async def test_subscribers_share_frames_and_hold_no_connection(
    isolated_settings: Settings, isolated_world: World
) -> None:
    """P1 and P2 of the contract: the pool has two connections for thirty subscribers."""
    engine = create_async_engine(isolated_settings.sqlalchemy_url, pool_size=2, max_overflow=0)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    listener = PostgresListener()
    ringing = asyncio.create_task(listener.listen(isolated_settings.dsn))
    feed = EventFeed(transaction, listener)
    api_app = build_app_on(isolated_settings, transaction, listener=listener, event_feed=feed)

    path = f"/boards/{isolated_world.board.id}/tasks"
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                open_stream(api_app, isolated_world.worker, f"{path}/stream")
            )
            for _ in range(30)
        ]
        alice = create_client(api_app, isolated_world.alice)
        with count_all_statements() as read:
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
