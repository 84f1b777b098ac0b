"""What is kept of what somebody else publishes."""

import asyncio

import pytest

from kit.errors import Unavailable
from kit.openid_kept import FRESH, PAUSE, STALE, Kept, Unreachable


class Publisher:
    """Publishes a number that grows, when it may, and tells what time it is."""

    def __init__(self) -> None:
        self.at = 0.0
        self.asked = 0
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.kept = Kept(self.publish, lambda: self.at)

    async def publish(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.is_away:
            raise Unreachable("it is away")
        return self.asked


@pytest.fixture
async def publisher() -> Publisher:
    return Publisher()


async def test_it_is_asked_once_however_many_want_to_know(publisher: Publisher) -> None:
    assert await asyncio.gather(*[publisher.kept.value() for _ in range(20)]) == [1] * 20
    assert await publisher.kept.value() == 1


async def test_what_is_old_is_given_at_once_and_is_new_soon(publisher: Publisher) -> None:
    await publisher.kept.value()
    publisher.at = FRESH + 1
    publisher.gate.clear()
    assert await asyncio.wait_for(publisher.kept.value(), 5) == 1
    publisher.gate.set()
    assert await publisher.kept.renewed() == 2
    assert publisher.asked == 2


async def test_it_is_not_asked_again_at_once(publisher: Publisher) -> None:
    await publisher.kept.value()
    assert await publisher.kept.renewed() == 1
    publisher.at += PAUSE
    assert await publisher.kept.renewed() == 2
    assert await publisher.kept.renewed() == 2


async def test_while_it_is_away_the_old_counts_for_a_day(publisher: Publisher) -> None:
    await publisher.kept.value()
    publisher.is_away = True
    for publisher.at in (FRESH + 1, STALE):
        assert await publisher.kept.renewed() == 1
    publisher.at = STALE + 1
    with pytest.raises(Unavailable):
        await publisher.kept.value()


async def test_while_it_is_away_from_the_start_it_is_asked_now_and_then(
    publisher: Publisher,
) -> None:
    publisher.is_away = True
    for _ in range(3):
        with pytest.raises(Unavailable):
            await publisher.kept.value()
    assert publisher.asked == 1
    publisher.at += PAUSE
    publisher.is_away = False
    assert await publisher.kept.value() == 2


async def test_who_gives_up_waiting_stops_nobody_else(publisher: Publisher) -> None:
    publisher.gate.clear()
    first, second = [asyncio.create_task(publisher.kept.value()) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    publisher.gate.set()
    assert await second == 1


async def test_closing_ends_what_is_under_way(publisher: Publisher) -> None:
    publisher.gate.clear()
    waiting = asyncio.create_task(publisher.kept.value())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await publisher.kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
