"""A link calls a gateway that comes and goes, and waits where waiting helps."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from openclaw import Budget, GatewayError, Link, Target, Trouble
from openclaw.subscriptions import MISSED
from tests.openclaw.fake import Fake, Refused, running, soon, target

QUICK = Budget(call=5, whole=5, first_rest=0.01, longest_rest=0.05)
SHORT = replace(QUICK, whole=0.3)


async def test_a_link_waits_for_a_gateway_that_starts(gateway: Fake) -> None:
    gateway.starting = 3
    gateway.methods = {"health": lambda _: "well"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("health") == "well"
        assert (await link.hello()).protocol == 4
    assert len(gateway.connects) == 4
    gateway.starting = 1_000
    async with Link(target(gateway), budget=SHORT) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.STARTING_UP


async def test_a_link_asks_again_when_the_gateway_was_not_ready(gateway: Fake) -> None:
    answers = iter([Refused("UNAVAILABLE"), Refused("UNAVAILABLE", retryAfterMs=20)])

    def health(_params: dict[str, Any]) -> str:
        for no in answers:
            raise no
        return "well"

    gateway.methods = {"health": health}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("health") == "well"
    assert len(gateway.calls) == 3


async def test_a_call_whose_answer_was_lost_is_repeated_only_if_that_is_safe(
    gateway: Fake,
) -> None:
    """A27.15. W-43: what is sent again carries the same key."""
    gateway.methods = {"chat.send": lambda params: params["idempotencyKey"]}
    gateway.closes = {"chat.send": 1012}
    key = {"idempotencyKey": "k-1"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("chat.send", key, repeatable=True) == "k-1"
        assert gateway.calls == [("chat.send", key)] * 2
        gateway.closes = {"chat.send": 1012}
        with pytest.raises(GatewayError) as caught:
            await link.call("chat.send", key)
        assert caught.value.trouble is Trouble.RESTARTING
        assert await link.call("chat.send", key) == "k-1"


async def test_a_link_that_was_there_waits_for_its_gateway_to_come_back() -> None:
    """A27.8. A gateway that restarts is no failure."""
    fake = Fake(methods={"health": lambda _: "well"})
    async with running(fake):
        link = Link(target(fake), budget=QUICK)
        listening = link.subscribe("chat")
        assert await link.call("health") == "well"
    asking = asyncio.create_task(link.call("health", repeatable=True))
    assert await listening.next() is MISSED
    await asyncio.sleep(0.1)
    assert not asking.done()
    async with running(fake):
        assert await asking == "well"
        await fake.tell("chat", {"n": 1})
        assert (await listening.next()).payload == {"n": 1}
        await link.close()


async def test_a_link_gives_up_at_once_where_waiting_does_not_help(gateway: Fake) -> None:
    gateway.token = "another"
    async with Link(target(gateway), budget=QUICK) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.TOKEN_MISMATCH
    assert len(gateway.connects) == 1
    async with Link(Target("ws://127.0.0.1:9"), budget=QUICK) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.REFUSED


async def test_a_link_never_waits_longer_than_its_budget(gateway: Fake) -> None:
    """W-32. A27.10."""
    gateway.answers = {"health": None}
    async with Link(target(gateway), budget=SHORT) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.TIMEOUT


async def test_a_link_that_is_kept_comes_back_by_itself_when_all_is_mended(gateway: Fake) -> None:
    """Whatever is in the way: nobody has to press a button (market need 1)."""
    gateway.asks_for_pairing = True
    heard: list[Any] = []

    async def hear(news: Any) -> None:
        heard.append(getattr(news, "trouble", "connected"))

    link = Link(target(gateway), budget=QUICK)
    keeping = asyncio.create_task(link.keep(hear))
    await soon(lambda: len(heard) >= 2)
    assert set(heard) == {Trouble.PAIRING_REQUIRED}
    gateway.approve()
    await soon(lambda: heard[-1] == "connected")
    await gateway.drop(4001)
    await soon(lambda: heard[-2:] == [Trouble.RESTARTING, "connected"])
    keeping.cancel()
    await link.close()


async def test_many_callers_share_one_connection(gateway: Fake) -> None:
    """A27.10."""
    gateway.methods = {"health": lambda _: "well"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await asyncio.gather(*(link.call("health") for _ in range(20))) == ["well"] * 20
    assert len(gateway.connects) == 1


def test_rests_grow_and_are_not_the_same_for_all() -> None:
    rests = Budget(first_rest=1, longest_rest=8).rests()
    found = [next(rests) for _ in range(6)]
    for rest, middle in zip(found, [1, 2, 4, 8, 8, 8], strict=True):
        assert 0.8 * middle <= rest <= 1.2 * middle
    assert len({next(Budget().rests()) for _ in range(20)}) > 1
