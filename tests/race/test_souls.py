"""Concurrent searches for souls: one saves the library, and one fetches the directory."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Soul
from services import souls
from services.souls.store import load_bundled_souls
from tests.support.api_fixtures import HIGH_RATE_LIMITS, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.http_host import HostPage, HttpHost, run_http_host
from tests.support.world import World

SITEMAP = b"<urlset><loc>/souls/ada/night-owl</loc></urlset>"
SEARCH = "/souls-directory/search"


@pytest.fixture
async def host() -> AsyncIterator[HttpHost]:
    async with run_http_host() as host:
        host.pages["/sitemap.xml"] = HostPage(SITEMAP)
        yield host


async def test_concurrent_processes_save_the_library_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async def search() -> int:
        async with isolated_transaction() as session:
            await souls.load_directory(session, "")
            return len(await souls.search_souls(session, souls.RemoteDirectory(), "", 100))

    assert set(await asyncio.gather(*(search() for _ in range(8)))) == {len(load_bundled_souls())}
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Soul)) == len(
            load_bundled_souls()
        )


async def test_one_of_many_processes_fetches_an_outdated_listing(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """P13."""

    async def claim() -> bool:
        async with isolated_transaction() as session:
            remote = await souls.load_directory(session, "http://127.0.0.1:1")
            return await souls.claim_fetch(session, remote)

    assert sorted(await asyncio.gather(*(claim() for _ in range(8)))) == [False] * 7 + [True]
    assert not await claim()


async def test_no_transaction_is_open_while_the_directory_is_fetched(
    isolated_settings: Settings, isolated_world: World, host: HttpHost
) -> None:
    """Concurrent requests do not wait: they get the library."""
    engine = create_async_engine(isolated_settings.sqlalchemy_url)
    settings = isolated_settings.model_copy(
        update={**HIGH_RATE_LIMITS, "souls_directory_url": host.address}
    )
    app = build_app_on(settings, async_sessionmaker(engine, expire_on_commit=False).begin)
    alice, worker = (
        create_client(app, isolated_world.alice),
        create_client(app, isolated_world.worker),
    )
    host.is_blocked = True
    first_request = asyncio.create_task(alice.get(SEARCH, params={"q": "owl"}))
    async with asyncio.timeout(10):
        while not host.requests:
            await asyncio.sleep(0.01)
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0

    meanwhile = (await worker.get(SEARCH, params={"q": "reviewer"})).json()
    assert meanwhile["stale"]
    assert meanwhile["items"]
    assert not first_request.done()

    host.unblocked.set()
    found = (await first_request).json()
    assert [soul["slug"] for soul in found["items"]] == ["night-owl"]
    assert host.requests == ["/sitemap.xml"]
    await engine.dispose()
