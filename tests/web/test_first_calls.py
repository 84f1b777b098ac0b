"""Pages show agents that have never called, and the call that is missing."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from core.clock import now
from models import Agent

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def uncalled(world, transaction) -> Agent:
    """Return the worker, which was created 40 minutes ago, has a task, and has never called."""
    created_at = now() - timedelta(minutes=40, seconds=5)
    values = {"status": "provisioning", "last_seen_at": None, "created_at": created_at}
    async with transaction() as session:
        await session.execute(update(Agent).where(Agent.id == world.worker.id).values(values))
        session.add(world.make_task("Write the report", assignee=world.worker))
    return world.worker


async def test_the_page_of_an_agent_shows_the_missing_call(alice, bob, uncalled) -> None:
    page = (await alice.get(f"/agents/{uncalled.id}")).text
    assert "Worker has never called, for 40 min." in page
    assert "never called for 40 min" in page
    assert "/api/v1/agent/heartbeat" in page
    assert f'href="/agents/{uncalled.id}/calls"' in page
    page = (await bob.get(f"/agents/{uncalled.id}", headers=HTMX)).text
    assert "/api/v1/agent/heartbeat" in page
    assert f'href="/agents/{uncalled.id}/calls"' not in page


async def test_the_list_shows_the_agent_as_a_problem(alice, uncalled) -> None:
    page = (await alice.get("/agents?state=trouble")).text
    assert "Worker has never called." in page
    assert "never called for 40 min" in page


async def test_cards_and_the_inbox_show_that_a_task_waits(alice, charlie, world, uncalled) -> None:
    page = (await alice.get(f"/boards/{world.board.id}")).text
    assert page.count("Its agent has never called") == 1
    page = (await alice.get("/approvals")).text
    assert "1 task on" in page
    assert "which has never called" in page
    assert "which has never called" not in (await charlie.get("/approvals")).text


async def test_the_notices_end_with_the_first_call(alice, world, transaction, uncalled) -> None:
    values = {"status": "online", "last_seen_at": now()}
    async with transaction() as session:
        await session.execute(update(Agent).where(Agent.id == uncalled.id).values(values))
    assert "has never called" not in (await alice.get(f"/agents/{uncalled.id}")).text
    assert "has never called" not in (await alice.get(f"/boards/{world.board.id}")).text
    assert "has never called" not in (await alice.get("/approvals")).text
