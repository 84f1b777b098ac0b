"""The page "System": who sees it, and what it says."""

from datetime import timedelta

import httpx2
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from core.version import VERSION
from models import Agent, Board, Member, Organization, Role
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway
from tests.support.world import World

PATH = "/settings/system"


async def test_only_owners_of_the_first_organization_see_the_system(
    anonymous: httpx2.AsyncClient,
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:
        first = update(Organization).where(Organization.id == world.tern.id)
        await session.execute(first.values(created_at=now() - timedelta(days=900)))
        owner = update(Member).where(Member.id == world.charlie_member.id)
        await session.execute(owner.values(role=Role.OWNER))
    assert (await anonymous.get(PATH)).status_code == 303
    page = await alice.get(PATH)
    assert page.status_code == 200
    assert VERSION in page.text
    for client in (bob, charlie):  # an admin or member, and an owner of another organization
        assert (await client.get(PATH)).status_code == 403
        assert PATH not in (await client.get("/settings")).text
    assert PATH in (await alice.get("/settings")).text


async def test_the_page_says_what_needs_attention_and_what_to_do(
    alice: httpx2.AsyncClient, transaction: TransactionFactory, world: World
) -> None:
    gateway = make_gateway(world.tern, "Harbour")
    due = now() - timedelta(minutes=20)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        linked = update(Agent).where(Agent.id.in_([world.lead.id, world.gardener.id]))
        await session.execute(linked.values(gateway_id=gateway.id))
        paused = update(Board).where(Board.id == world.garden.id).values(paused_at=now())
        await session.execute(paused)
        for agent in (world.lead, world.gardener):  # the board of the gardener is paused
            session.add(make_message(agent, waiting_since=due))
    page = (await alice.get(PATH)).text
    assert "1 waits to be sent. The oldest is due for 20 min." in page
    assert "Check that a worker runs" in page
    assert "./run backup has not written one." in page
    assert "Run ./run backup daily" in page
    assert "points need attention." in page
