"""A gateway that is reached in another way may be another one: its agents are asked for anew."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from models import Agent, Gateway, Step
from openclaw import Guard, Link
from services import gateways
from services.gateways import Carrier
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, target
from tests.openclaw.workshop import working
from tests.services.yard import QUICK, Yard, a_yard
from tests.world import SEAL, World

CARRIER = Carrier(SEAL, Guard())


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        async with transaction() as session:
            sealed = CARRIER.seal(yard.gateway.id, "token", TOKEN)
            await session.execute(update(Gateway).values(sealed_token=sealed))
        yield yard


async def asked(yard: Yard, crew: list[Agent], **changes: object) -> list[int]:
    """Change the gateway, and return how often each agent was asked for by that."""
    before = [(await yard.row(agent)).generation for agent in crew]
    async with yard.transaction() as session:
        await gateways.change(session, yard.world.alices, CARRIER, yard.gateway.id, changes)
    after = [(await yard.row(agent)).generation for agent in crew]
    return [new - old for new, old in zip(after, before, strict=True)]


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ws://127.0.0.1:9"},
        {"token": "another"},
        {"allow_insecure_tls": True},
        {"disable_device_pairing": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_all_agents_of_a_gateway_that_is_reached_in_another_way_are_asked_for(
    yard: Yard, changes: dict[str, Any]
) -> None:
    crew = [await yard.there("Writer"), await yard.there("Lead", is_board_lead=True)]
    assert await asked(yard, crew, **changes) == [1, 1]
    assert {(await yard.row(agent)).step for agent in crew} == {Step.CREATE}
    assert await asked(yard, crew, **changes) == [0, 0]


async def test_what_does_not_change_the_way_asks_for_nobody_of_its_boards(yard: Yard) -> None:
    crew = [await yard.there()]
    assert await asked(yard, crew, name="Harbour of old", token=TOKEN) == [0]


async def test_a_gateway_that_was_set_up_elsewhere_gets_all_agents_with_their_files(
    yard: Yard,
) -> None:
    agent = await yard.there()
    async with working() as fresh, Link(target(fresh), budget=QUICK) as link:
        assert await asked(yard, [agent], url=fresh.url) == [1]
        await link.hello()
        yard.link = link
        await yard.settle()
        assert fresh.listed() == [agent.gateway_key]
        assert set(fresh.files[agent.gateway_key or ""]) >= {"AGENTS.md", "SOUL.md"}
