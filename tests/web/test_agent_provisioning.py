"""The provisioning progress of agents on their pages."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, DesiredState, Gateway, ProvisioningState, ProvisioningStep, Status
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World
from web.agents.provisioning import build_steps

MOMENT = now()
AT = {"at": MOMENT.isoformat()}
GATEWAY = Gateway(name="Harbour", lease_expires_at=MOMENT + timedelta(seconds=30), checks=[])


def an_agent(**fields: Any) -> Agent:
    usual: dict[str, Any] = {"step_attempts": 0, "wake_attempts": 0, "wants_wake": True}
    usual["provisioning_state"] = ProvisioningState()
    return Agent(name="Ava", **(usual | fields))


def ago(**time: int) -> datetime:
    return MOMENT - timedelta(**time)


def test_steps_show_completion_times_and_elapsed_time() -> None:
    times = {"name": ago(minutes=2), "create": ago(minutes=3)}
    agent = an_agent(
        step=ProvisioningStep.FILES,
        provisioning_state=ProvisioningState(step_times=times),
        step_deadline_at=MOMENT + timedelta(seconds=116),
    )
    made, files, *rest = build_steps(agent, GATEWAY, MOMENT)
    assert (made.state, made.done_at) == ("done", ago(minutes=2))
    assert (files.state, files.elapsed) == ("now", "4 s of 2 min")
    assert [one.state for one in rest] == ["todo"] * 3


def test_an_updated_agent_is_not_woken_again() -> None:
    new_agent = an_agent(
        step=ProvisioningStep.FILES, last_seen_at=MOMENT, observed_generation=1, wants_wake=False
    )
    assert [one.state for one in build_steps(new_agent, GATEWAY, MOMENT)] == ["done", "now", "todo"]


def test_an_agent_of_a_paused_board_waits_for_the_board() -> None:
    waits = an_agent(step=None, observed_generation=1)
    *done, woken, called = build_steps(waits, GATEWAY, MOMENT)
    assert {one.state for one in done} == {"done"}
    assert (woken.state, called.state) == ("todo", "todo")
    assert "Its board is paused." in woken.detail


def test_a_step_shows_no_elapsed_time_without_the_gateway() -> None:
    away = Gateway(name="Harbour", checks=[{"name": "port", "state": "failed"}])
    agent = an_agent(step=ProvisioningStep.CREATE, step_deadline_at=ago(minutes=5))
    [first, *_] = build_steps(agent, away, MOMENT)
    assert (first.state, first.elapsed) == ("now", "")
    assert "No answer" in first.detail


@pytest.fixture
async def agent(gateway: Gateway, world: World, transaction: TransactionFactory) -> Agent:
    """The worker of Launch, which is being provisioned on the gateway of Tern."""
    async with transaction() as session:
        row = await session.get_one(Agent, world.worker.id)
        row.desired_state, row.generation, row.wants_wake = DesiredState.RUNNING, 1, True
        row.last_seen_at, row.step = None, ProvisioningStep.FILES
        row.step_deadline_at = now() + timedelta(seconds=100)
        row.provisioning_state = ProvisioningState(
            is_created_by_us=True, step_times={"name": now()}
        )
        held = await session.get_one(Gateway, gateway.id)
        held.lease_holder, held.lease_expires_at = "x", now() + timedelta(seconds=60)
    return row


async def now_has(transaction: TransactionFactory, agent: Agent, **fields: Any) -> None:
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        for name, value in fields.items():
            setattr(row, name, value)


def drawn(page: str) -> list[str]:
    return re.findall(r'<li class="step" data-s="(\w+)">', page)


async def test_the_agent_page_shows_its_steps_and_gateway(
    alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, agent: Agent, gateway: Gateway
) -> None:
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Setup on Harbour" in page
    assert drawn(page) == ["done", "now", "todo", "todo", "todo"]
    assert re.search(r"\d+ s of 2 min", page)
    assert f'href="/gateways/{gateway.id}"' in page
    assert f'href="/gateways/{gateway.id}/sessions/agent%3Amc-1%3Amain"' in page
    assert drawn((await alice.get("/agents")).text) == drawn(page)
    his = (await bob.get(f"/agents/{agent.id}")).text
    assert drawn(his) == drawn(page)
    assert "/gateways/" not in his


async def test_a_failed_step_shows_the_gateway_error_and_a_retry(
    alice: httpx2.AsyncClient,
    bob: httpx2.AsyncClient,
    agent: Agent,
    transaction: TransactionFactory,
) -> None:
    failure = {"step": "files", "code": "x", "reason": "No room <there>.", "command": "df -h"} | AT
    await now_has(transaction, agent, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert drawn(page)[1] == "fail"
    assert "No room &lt;there&gt;." in page
    assert 'data-copy="df -h"' in page
    his = (await bob.get(f"/agents/{agent.id}")).text
    assert "No room" in his
    assert "Try again" not in his.partition("<body")[2]
    assert (await bob.post(f"/agents/{agent.id}/provisionings")).status_code == 403

    again = await alice.post(f"/agents/{agent.id}/provisionings")
    assert (again.status_code, again.headers["Location"]) == (303, f"/agents/{agent.id}")
    async with transaction() as session:
        row = await session.get_one(Agent, agent.id)
        assert (row.generation, row.step, row.provision_failure) == (
            2,
            ProvisioningStep.CREATE,
            None,
        )


async def test_an_agent_that_does_not_call_can_be_woken_again(
    alice: httpx2.AsyncClient, agent: Agent, transaction: TransactionFactory
) -> None:
    failure = {"step": "check_in", "code": "no_check_in", "reason": "Silent.", "command": None} | AT
    await now_has(transaction, agent, step=ProvisioningStep.CHECK_IN, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Wake it again" in page
    await alice.post(f"/agents/{agent.id}/provisionings", data={"wake": "on"})
    async with transaction() as session:
        assert (await session.get_one(Agent, agent.id)).wants_wake


async def test_a_provisioned_agent_collapses_its_steps(
    alice: httpx2.AsyncClient, agent: Agent, transaction: TransactionFactory
) -> None:
    seen_at = now() - timedelta(seconds=12)
    provisioned = {
        "step": None,
        "observed_generation": 1,
        "wants_wake": False,
        "last_seen_at": seen_at,
    }
    state = replace(agent.provisioning_state, kept_files=["SOUL.md"])
    await now_has(transaction, agent, **provisioned, provisioning_state=state, listed_at=now())
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Up to date on Harbour." in page
    assert "Changed by the agent, and kept: SOUL.md." in page
    assert drawn(page) == ["done"] * 5
    assert re.search(r"(called the API 1\d s ago|listed by its gateway (just now|\d s ago))", page)


async def test_an_agent_being_removed_can_be_forgotten(
    alice: httpx2.AsyncClient, agent: Agent, transaction: TransactionFactory
) -> None:
    leaves = {"desired_state": DesiredState.GONE, "step": ProvisioningStep.REMOVE}
    failure = {"step": "remove", "code": "x", "reason": "It is busy.", "command": None} | AT
    await now_has(transaction, agent, **leaves, provision_failure=failure)
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Removal from Harbour" in page
    assert drawn(page) == ["fail"]
    assert "Unlink (it keeps running on the gateway)" in page
    await alice.post(f"/agents/{agent.id}/deletions", data={"force": "on"})
    assert (await alice.get(f"/agents/{agent.id}")).status_code == 404


async def test_an_unreachable_gateway_makes_agent_states_unknown(
    alice: httpx2.AsyncClient, agent: Agent, world: World, transaction: TransactionFactory
) -> None:
    seen_at = now() - timedelta(minutes=2)
    provisioned = {
        "step": None,
        "observed_generation": 1,
        "wants_wake": False,
        "last_seen_at": seen_at,
    }
    await now_has(transaction, agent, **provisioned, listed_at=seen_at)
    broken = {"name": "port", "state": "failed", "since": str(now() - timedelta(minutes=1))}
    async with transaction() as session:
        gateway = await session.get_one(Gateway, agent.gateway_id)
        gateway.checks, gateway.checked_at = [broken], now()
    page = (await alice.get(f"/agents/{agent.id}")).text
    assert "Gateway away" in page
    assert "not known for 1 min" in page
    assert "Harbour is not available. The agent was up to date there." in page
    begun = world.make_task("Begun", status=Status.IN_PROGRESS, assigned_agent_id=agent.id)
    async with transaction() as session:
        session.add(begun)
    assert (
        "No answer from its gateway"
        in (await alice.get(f"/boards/{agent.board_id}/agents-panel")).text
    )
    assert "Gateway away" in (await alice.get("/agents?state=trouble")).text


async def test_the_settings_of_a_gateway_agent_do_not_move_it_to_a_board(
    alice, world, transaction
) -> None:
    gateway = make_gateway(world.tern, "Workshop")
    main_agent, token = make_main_agent(gateway, desired_state=DesiredState.RUNNING)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([main_agent, token])
    page = await alice.get(f"/agents/{main_agent.id}/settings")
    assert 'name="board_id"' not in page.text
    fields = {"name": "Concierge", "every": "30m", "emoji": ":zap:"}
    saved = await alice.post(f"/agents/{main_agent.id}/settings", data=fields)
    assert saved.status_code == 303
    async with transaction() as session:
        stored = await session.get_one(Agent, main_agent.id)
        assert (stored.name, stored.board_id) == ("Concierge", None)


async def test_an_agent_of_a_board_cannot_be_saved_without_one(alice, world, transaction) -> None:
    address = f"/agents/{world.worker.id}/settings"
    fields = {"name": "Baker", "every": "10m", "emoji": ":zap:"}
    rejected = await alice.post(address, data=fields | {"board_id": ""})
    assert rejected.status_code == 422
    assert (await alice.post(address, data=fields)).status_code == 303
    async with transaction() as session:
        stored = await session.get_one(Agent, world.worker.id)
        assert (stored.name, stored.board_id) == ("Baker", world.board.id)
