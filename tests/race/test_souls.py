"""Many who look for souls at once: the library comes once, and one of them asks the directory."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from kit.settings import Settings
from models import Soul
from services import souls
from services.souls.shipped import written
from tests.api.conftest import PLENTY, client_of, house_on
from tests.conftest import Transaction
from tests.elsewhere import Host, Page, a_host
from tests.world import World

SITEMAP = b"<urlset><loc>/souls/ada/night-owl</loc></urlset>"
SEARCH = "/souls-directory/search"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with a_host() as host:
        host.pages["/sitemap.xml"] = Page(SITEMAP)
        yield host


async def test_the_library_is_brought_in_once_however_many_need_it(
    real_transaction: Transaction, real_world: World
) -> None:
    async def look() -> int:
        async with real_transaction() as session:
            await souls.look(session, "")
            return len(await souls.search(session, souls.Remote(), "", 100))

    assert set(await asyncio.gather(*(look() for _ in range(8)))) == {len(written())}
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Soul)) == len(written())


async def test_of_many_who_find_the_list_old_one_asks_for_it(
    real_transaction: Transaction, real_world: World
) -> None:
    """P13."""

    async def is_first() -> bool:
        async with real_transaction() as session:
            remote = await souls.look(session, "http://127.0.0.1:1")
            return await souls.is_first_to_ask(session, remote)

    assert sorted(await asyncio.gather(*(is_first() for _ in range(8)))) == [False] * 7 + [True]
    assert not await is_first()


async def test_nobody_holds_a_transaction_while_the_directory_is_asked(
    own_settings: Settings, real_world: World, host: Host
) -> None:
    """And whoever comes meanwhile does not wait: the library is there."""
    engine = create_async_engine(own_settings.sqlalchemy_url)
    settings = own_settings.model_copy(update={**PLENTY, "souls_directory_url": host.address})
    house = house_on(settings, async_sessionmaker(engine, expire_on_commit=False).begin)
    alice, worker = client_of(house, real_world.alice), client_of(house, real_world.worker)
    host.waits = True
    asking = asyncio.create_task(alice.get(SEARCH, params={"q": "owl"}))
    async with asyncio.timeout(10):
        while not host.asked:
            await asyncio.sleep(0.01)
    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0

    meanwhile = (await worker.get(SEARCH, params={"q": "reviewer"})).json()
    assert meanwhile["stale"]
    assert meanwhile["items"]
    assert not asking.done()

    host.may_answer.set()
    found = (await asking).json()
    assert [soul["slug"] for soul in found["items"]] == ["night-owl"]
    assert host.asked == ["/sitemap.xml"]
    await engine.dispose()
