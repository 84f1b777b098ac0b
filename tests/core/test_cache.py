"""The cache of values that another server publishes."""

import asyncio

import pytest

from core.errors import Unavailable
from core.security.openid import (
    EXPIRE_AFTER,
    REFRESH_AFTER,
    RETRY_INTERVAL,
    ProviderUnreachable,
    StaleWhileRevalidate,
)


class FakePublisher:
    """Publishes an increasing number while it may respond, and provides the clock of the cache."""

    def __init__(self) -> None:
        self.time = 0.0
        self.request_count = 0
        self.is_unreachable = False
        self.may_respond = asyncio.Event()
        self.may_respond.set()
        self.cache = StaleWhileRevalidate(self.publish, lambda: self.time)

    async def publish(self) -> int:
        self.request_count += 1
        await self.may_respond.wait()
        if self.is_unreachable:
            raise ProviderUnreachable("it is unreachable")
        return self.request_count


@pytest.fixture
async def publisher() -> FakePublisher:
    return FakePublisher()


async def test_concurrent_readers_cause_one_request(publisher: FakePublisher) -> None:
    assert await asyncio.gather(*[publisher.cache.get_value() for _ in range(20)]) == [1] * 20
    assert await publisher.cache.get_value() == 1


async def test_a_stale_value_is_returned_while_it_is_refreshed(publisher: FakePublisher) -> None:
    await publisher.cache.get_value()
    publisher.time = REFRESH_AFTER + 1
    publisher.may_respond.clear()
    assert await asyncio.wait_for(publisher.cache.get_value(), 5) == 1
    publisher.may_respond.set()
    assert await publisher.cache.refresh_value() == 2
    assert publisher.request_count == 2


async def test_a_refresh_is_not_repeated_within_the_retry_interval(
    publisher: FakePublisher,
) -> None:
    await publisher.cache.get_value()
    assert await publisher.cache.refresh_value() == 1
    publisher.time += RETRY_INTERVAL
    assert await publisher.cache.refresh_value() == 2
    assert await publisher.cache.refresh_value() == 2


async def test_a_stale_value_is_valid_for_a_day_during_an_outage(publisher: FakePublisher) -> None:
    await publisher.cache.get_value()
    publisher.is_unreachable = True
    for publisher.time in (REFRESH_AFTER + 1, EXPIRE_AFTER):
        assert await publisher.cache.refresh_value() == 1
    publisher.time = EXPIRE_AFTER + 1
    with pytest.raises(Unavailable):
        await publisher.cache.get_value()


async def test_an_initial_outage_is_retried_after_the_retry_interval(
    publisher: FakePublisher,
) -> None:
    publisher.is_unreachable = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            await publisher.cache.get_value()
    assert publisher.request_count == 1
    publisher.time += RETRY_INTERVAL
    publisher.is_unreachable = False
    assert await publisher.cache.get_value() == 2


async def test_a_cancelled_reader_does_not_affect_others(publisher: FakePublisher) -> None:
    publisher.may_respond.clear()
    first, second = [asyncio.create_task(publisher.cache.get_value()) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    publisher.may_respond.set()
    assert await second == 1


async def test_closing_cancels_the_request_in_progress(publisher: FakePublisher) -> None:
    publisher.may_respond.clear()
    pending = asyncio.create_task(publisher.cache.get_value())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await publisher.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await pending
