"""The rights of open pages are checked once for all pages of a session."""

import asyncio

import pytest

from models import new_id
from web.stream_rights import MAX_CHECKS, RECHECK_INTERVAL, StreamRights

KEY, OTHER = (new_id(), new_id()), (new_id(), new_id())


class Loader:
    """Counts the checks, and the most that run at once."""

    def __init__(self) -> None:
        self.count = self.running = self.most = 0

    async def __call__(self) -> set:
        self.count += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return {self.count}


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def rights(clock: list[float]) -> StreamRights:
    return StreamRights(lambda: clock[0])


async def test_many_pages_of_a_session_share_one_check(rights: StreamRights) -> None:
    loader = Loader()
    results = await asyncio.gather(*(rights.load(KEY, loader) for _ in range(1_000)))
    assert loader.count == 1
    assert all(result == {1} for result in results)
    assert await rights.load(OTHER, loader) == {2}


async def test_an_old_check_is_repeated(rights: StreamRights, clock: list[float]) -> None:
    loader = Loader()
    await rights.load(KEY, loader)
    clock[0] = RECHECK_INTERVAL
    assert await rights.load(KEY, loader) == {2}


async def test_an_event_that_changes_rights_makes_checks_outdated(rights: StreamRights) -> None:
    loader = Loader()
    await rights.load(KEY, loader)
    assert await rights.load(KEY, loader, changed_by=7) == {2}
    assert await rights.load(KEY, loader, changed_by=7) == {2}
    assert await rights.load(KEY, loader) == {2}
    assert await rights.load(KEY, loader, changed_by=8) == {3}


async def test_a_later_check_knows_all_that_an_earlier_one_knew(
    rights: StreamRights, clock: list[float]
) -> None:
    loader = Loader()
    await rights.load(KEY, loader, changed_by=7)
    clock[0] = RECHECK_INTERVAL
    assert await rights.load(KEY, loader) == {2}
    assert await rights.load(KEY, loader, changed_by=7) == {2}


async def test_a_failed_check_is_repeated(rights: StreamRights) -> None:
    async def fail() -> set:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await rights.load(KEY, fail)
    assert await rights.load(KEY, Loader()) == {1}


async def test_few_checks_run_at_once(rights: StreamRights) -> None:
    loader = Loader()
    keys = [(new_id(), new_id()) for _ in range(100)]
    await asyncio.gather(*(rights.load(key, loader) for key in keys))
    assert loader.count == 100
    assert loader.most == MAX_CHECKS
