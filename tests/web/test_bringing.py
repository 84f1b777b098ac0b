"""Agents on their way to their gateways, as people follow them on pages."""

import re
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from kit.clock import now
from models import Agent, DesiredState, Gateway, Step
from tests.conftest import Transaction
from tests.world import World
from web.journey import stages

MOMENT = now()
AT = {"at": MOMENT.isoformat()}
GATEWAY = Gateway(name="Harbour", held_until=MOMENT + timedelta(seconds=30), checks=[])


def an_agent(**fields: Any) -> Agent:
    usual = {"step_attempts": 0, "wake_attempts": 0, "wants_wake": True, "written": {}}
    return Agent(name="Ava", **(usual | fields))


def ago(**time: int) -> datetime:
    return MOMENT - timedelta(**time)


def test_what_is_done_tells_when_and_what_is_being_done_for_how_long_of_how_long() -> None:
    times = {"name": ago(minutes=2).isoformat(), "create": ago(minutes=3).isoformat()}
    agent = an_agent(
        step=Step.FILES,
        written={"done_at": times},
        step_deadline_at=MOMENT + timedelta(seconds=116),
    )
    made, files, *rest = stages(agent, GATEWAY, MOMENT)
    assert (made.state, made.at) == ("done", ago(minutes=2))
    assert (files.state, files.aside) == ("now", "4 s of 2 min")
    assert [one.state for one in rest] == ["todo"] * 3


def test_an_agent_that_is_only_told_what_has_changed_is_not_woken_again() -> None:
    told = an_agent(step=Step.FILES, last_seen_at=MOMENT, observed_generation=1, wants_wake=False)
    assert [one.state for one in stages(told, GATEWAY, MOMENT)] == ["done", "now", "todo"]


def test_an_agent_of_a_paused_board_waits_for_the_board() -> None:
    waits = an_agent(step=None, observed_generation=1)
    *done, woken, called = stages(waits, GATEWAY, MOMENT)
    assert {one.state for one in done} == {"done"}
    assert (woken.state, called.state) == ("todo", "todo")
    assert "Its board is paused." in woken.about


def test_what_a_gateway_that_is_away_holds_up_has_no_clock() -> None:
    away = Gateway(name="Harbour", checks=[{"name": "port", "state": "failed"}])
    agent = an_agent(step=Step.CREATE, step_deadline_at=ago(minutes=5))
    [first, *_] = stages(agent, away, MOMENT)
    assert (first.state, first.aside) == ("now", "")
    assert "nobody answers" in first.about


@pytest.fixture
async def agent(gateway: Gateway, world: World, transaction: Transaction) -> Agent:
    """The worker of Launch, on the way to the gateway of Tern."""
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        row.desired_state, row.generation, row.wants_wake = DesiredState.RUNNING, 1, True
        row.last_seen_at, row.step = None, Step.FILES
        row.step_deadline_at = now() + timedelta(seconds=100)
        row.written = {"made": True, "done_at": {"name": now().isoformat()}}
        held = await session.get_one(Gateway, gateway.id)
        held.held_by, held.held_until = "x", now() + timedelta(seconds=60)
    return row


async def now_has(transaction: Transaction, agent: Agent, **fields: Any) -> None:
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        for name, value in fields.items():
            setattr(row, name, value)


def drawn(page: str) -> list[str]:
    return re.findall(r'<li class="step" data-s="(\w+)">', page)


async def test_the_page_of_an_agent_shows_its_steps_and_where_it_lives(
    alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, agent: Agent, gateway: Gateway
) -> None:
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "On its way to Harbour" in page
    assert drawn(page) == ["done", "now", "todo", "todo", "todo"]
    assert re.search(r"\d+ s of 2 min", page)
    assert f'href="/gateways/{gateway.id}"' in page
    assert f'href="/gateways/{gateway.id}/sessions/agent%3Amc-1%3Amain"' in page
    assert drawn((await alice.get("/agents")).text) == drawn(page)
    his = (await bob.get(f"/agents/{agent.id}")).text
    assert drawn(his) == drawn(page)
    assert "/gateways/" not in his


async def test_what_failed_is_told_in_the_words_of_the_gateway_with_a_way_on(
    alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, agent: Agent, transaction: Transaction
) -> None:
    failure = {"step": "files", "code": "x", "reason": "No room <there>.", "command": "df -h"} | AT
    await now_has(transaction, agent, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert drawn(page)[1] == "fail"
    assert "No room &lt;there&gt;." in page
    assert 'data-copy="df -h"' in page
    his = (await bob.get(f"/agents/{agent.id}")).text
    assert "No room" in his
    assert "Try again" not in his
    assert (await bob.post(f"/agents/{agent.id}/provisionings")).status_code == 403

    again = await alice.post(f"/agents/{agent.id}/provisionings")
    assert (again.status_code, again.headers["Location"]) == (303, f"/agents/{agent.id}")
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        assert (row.generation, row.step, row.provision_failure) == (2, Step.CREATE, None)


async def test_who_does_not_call_is_woken_again(
    alice: httpx2.AsyncClient, agent: Agent, transaction: Transaction
) -> None:
    failure = {"step": "check_in", "code": "no_check_in", "reason": "Silent.", "command": None} | AT
    await now_has(transaction, agent, step=Step.CHECK_IN, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Wake it again" in page
    await alice.post(f"/agents/{agent.id}/provisionings", data={"wake": "on"})
    async with transaction() as session:
        assert (await session.get_one(Agent, agent.id)).wants_wake


async def test_an_agent_that_is_there_says_so_and_folds_how_it_came(
    alice: httpx2.AsyncClient, agent: Agent, transaction: Transaction
) -> None:
    seen = now() - timedelta(seconds=12)
    there = {"step": None, "observed_generation": 1, "wants_wake": False, "last_seen_at": seen}
    kept = {**agent.written, "kept": ["SOUL.md"]}
    await now_has(transaction, agent, **there, written=kept, listed_at=now())
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "On Harbour it is as it is written here." in page
    assert "It has changed SOUL.md by itself" in page
    assert drawn(page) == ["done"] * 5
    assert re.search(r"(called the API 1\d s ago|its gateway had it (just now|\d s ago))", page)


async def test_one_that_leaves_is_shown_leaving_and_may_be_forgotten(
    alice: httpx2.AsyncClient, agent: Agent, transaction: Transaction
) -> None:
    leaves = {"desired_state": DesiredState.GONE, "step": Step.REMOVE}
    failure = {"step": "remove", "code": "x", "reason": "It is busy.", "command": None} | AT
    await now_has(transaction, agent, **leaves, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Leaves Harbour" in page
    assert drawn(page) == ["fail"]
    assert "Forget it here, and leave it there" in page
    await alice.post(f"/agents/{agent.id}/deletions", data={"force": "on"})
    assert (await alice.get(f"/agents/{agent.id}")).status_code == 404


async def test_while_the_gateway_is_away_nothing_is_said_that_nobody_can_know(
    alice: httpx2.AsyncClient, agent: Agent, world: World, transaction: Transaction
) -> None:
    seen = now() - timedelta(minutes=2)
    there = {"step": None, "observed_generation": 1, "wants_wake": False, "last_seen_at": seen}
    await now_has(transaction, agent, **there, listed_at=seen)
    broken = {"name": "port", "state": "failed", "since": str(now() - timedelta(minutes=1))}
    async with transaction() as session:
        gateway = await session.get_one(Gateway, agent.gateway_id)
        gateway.checks, gateway.checked_at = [broken], now()
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Gateway away" in page
    assert "not known for 1 min" in page
    assert "Harbour is away. On it the agent was as it is written here." in page
    assert "Its gateway is away" in (await alice.get(f"/boards/{agent.board_id}/crew")).text
    assert "Gateway away" in (await alice.get("/agents?state=trouble")).text
