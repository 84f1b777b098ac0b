"""Keeping a link: how soon what was mended is known, and that nobody is locked out by asking."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from holder import PATIENT
from openclaw import Budget, GatewayError, Link, Target, Trouble, connect
from openclaw.link import OURS
from tests.openclaw.fake import TOKEN, Fake, soon, target

QUICK = Budget(call=5, whole=5, first_rest=0.01, longest_rest=0.05, rest_for_people=0.05)
PROMISED = 10.0  # seconds from the mending to the green rung
WINDOW, LOCKED_OUT_AT = 60.0, 10  # seconds, tries: what a gateway counts by itself
LONGEST_DELAY = 5.0  # seconds by which a gateway delays its no to its own machine


@asynccontextmanager
async def kept(at: Target) -> AsyncGenerator[list[Any]]:
    """Keep a link, and give what is heard of it."""
    heard: list[Any] = []

    async def hear(news: Any) -> None:
        heard.append(getattr(news, "trouble", "connected"))

    async with Link(at, budget=QUICK) as link:
        keeping = asyncio.create_task(link.keep(hear))
        yield heard
        keeping.cancel()


async def test_a_wrong_token_that_is_mended_at_the_gateway_needs_nothing_here(
    gateway: Fake,
) -> None:
    gateway.token = "another"
    async with kept(target(gateway)) as heard:
        await soon(lambda: len(heard) >= 2)
        assert set(heard) == {Trouble.TOKEN_MISMATCH}
        gateway.token = TOKEN
        await soon(lambda: heard[-1] == "connected")


async def test_a_device_token_that_was_refused_is_not_tried_again(gateway: Fake) -> None:
    """Each try is counted by the gateway: two instead of one lock out twice as soon."""
    at = target(gateway)
    assert at.device
    gateway.approved.add(at.device.id)
    gateway.token = "another"
    async with kept(replace(at, device_token="of a gateway that was set up anew")) as heard:
        await soon(lambda: len(heard) >= 4)
        tokens = [one["auth"]["token"] for one in gateway.connects]
        assert tokens[:2] == [TOKEN, "of a gateway that was set up anew"]
        assert set(tokens[2:]) == {TOKEN}
        gateway.token = TOKEN
        await soon(lambda: heard[-1] == "connected")


async def test_who_has_only_a_device_token_goes_on_with_it(gateway: Fake) -> None:
    at = target(gateway)
    async with await connect(at) as connection:
        given = connection.hello.device_token
    gateway.refuses = {"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}
    async with kept(replace(at, token="", device_token=given)) as heard:
        await soon(lambda: len(heard) >= 2)
        gateway.refuses = None
        await soon(lambda: heard[-1] == "connected")


@pytest.mark.parametrize("trouble", sorted(OURS))
@pytest.mark.parametrize("took", [0.0, 0.3, LONGEST_DELAY])
def test_what_people_mend_is_found_within_what_was_promised(trouble: Trouble, took: float) -> None:
    """Mended right after the gateway had looked, it is found by the next try."""
    for rest in (PATIENT.first_rest, PATIENT.longest_rest):
        rests = PATIENT.rest_after(GatewayError(trouble, ""), rest, took)
        assert rests > 0
        assert took + rests < PROMISED - 1  # which is left for connecting


def test_tries_are_too_few_to_be_locked_out_even_if_somebody_looks_as_well() -> None:
    pace = PATIENT.rest_after(GatewayError(Trouble.TOKEN_MISMATCH, ""), PATIENT.first_rest, 0.0)
    tries = -(-WINDOW // pace)
    by_a_person = 2  # with the token, and with the device's
    assert tries + by_a_person < LOCKED_OUT_AT


def test_what_gateways_mend_is_found_as_soon_however_long_it_took() -> None:
    rests = PATIENT.rests()
    longest = max(next(rests) for _ in range(40))
    assert PATIENT.rest_after(GatewayError(Trouble.REFUSED, ""), longest, 3.0) == longest
    assert longest < PROMISED - 1


@pytest.mark.parametrize("trouble", [Trouble.RATE_LIMITED, Trouble.STARTING_UP])
def test_a_gateway_that_says_when_to_come_again_is_asked_no_sooner(trouble: Trouble) -> None:
    error = GatewayError(trouble, "", retry_after=300.0)
    assert PATIENT.rest_after(error, 1.0, LONGEST_DELAY) == 300.0
