"""Agents on gateways: what fails has a name, and who goes is gone from there."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from kit.errors import Conflict
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    EventType,
    GatewayLeftover,
    Status,
    Step,
    Task,
)
from services import agents, boards, provisioning
from services.agents import Sign
from services.provisioning import State
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import Before, Fault
from tests.services.yard import Yard, a_yard
from tests.world import World, a_task

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yield yard


def refusing(method: str) -> Any:
    """Make a fault: the gateway says no to this."""

    def refuse(asked: str, _params: Any) -> Fault:
        return Refused("INVALID_REQUEST", "no such thing") if asked == method else None

    return refuse


def nothing(_method: str, _params: Any) -> Fault:
    return None


async def deleted(yard: Yard, agent: Agent, *, force: bool = False) -> None:
    async with yard.transaction() as session:
        await agents.delete(session, yard.world.alice, agent.id, force=force)


async def count(yard: Yard, what: Any) -> int:
    async with yard.transaction() as session:
        return await session.scalar(select(func.count()).select_from(what)) or 0


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("agents.create", Step.CREATE),
        ("agents.update", Step.NAME),
        ("agents.files.set", Step.FILES),
        ("config.patch", Step.HEARTBEAT),
        ("cron.scratch.set", Step.SCRATCH),
    ],
)
async def test_what_a_gateway_refuses_is_named_in_time_and_can_be_tried_again(
    yard: Yard, method: str, step: Step
) -> None:
    yard.workshop.fault = refusing(method)
    agent, began = await yard.add(), yard.moment
    await yard.settle()
    agent = await yard.row(agent)
    assert yard.moment - began <= 4 * MINUTE
    assert provisioning.state(agent, yard.moment) is State.FAILED
    failure = agent.provision_failure
    assert failure
    assert (failure["step"], failure["code"]) == (step.value, "rejected")
    assert failure["reason"] == "The gateway says no: no such thing"
    assert failure["command"]
    assert agents.status(agent, yard.moment) == AgentStatus.OFFLINE
    assert agents.evidence(agent, yard.moment).by is Sign.FAILURE
    [told] = await yard.events(EventType.AGENT_PROVISION_FAILED)
    assert (told.agent_id, told.data["step"]) == (agent.id, step.value)
    yard.workshop.fault = nothing
    async with yard.transaction() as session:
        await agents.bring(session, yard.world.alices, agent.id)
    await yard.settle()
    agent = await yard.row(agent)
    assert (agent.step, agent.provision_failure) == (Step.CHECK_IN, None)


async def test_what_failed_is_done_by_itself_once_nothing_is_in_the_way(yard: Yard) -> None:
    yard.workshop.fault = refusing("agents.files.set")
    agent = await yard.add()
    await yard.settle()
    assert (await yard.row(agent)).provision_failure
    yard.workshop.fault = nothing
    yard.moment += 11 * MINUTE
    await yard.settle()
    agent = await yard.row(agent)
    assert (agent.step, agent.provision_failure) == (Step.CHECK_IN, None)


async def test_an_error_of_our_own_has_a_name_too(yard: Yard) -> None:
    yard.workshop.methods["agents.files.get"] = lambda _: {"file": 5}
    agent = await yard.add()
    await yard.settle()
    failure = (await yard.row(agent)).provision_failure
    assert failure
    assert failure["code"] == "unexpected"


async def test_a_gateway_that_takes_no_more_changes_is_asked_when_it_wants_to_be(
    yard: Yard,
) -> None:
    yard.workshop.patches_left = 0
    agent = await yard.add()
    began = yard.moment
    while (await yard.row(agent)).step is not Step.SCRATCH:
        more_at = await yard.look()
        yard.moment = max(yard.moment, more_at or yard.moment)
        if yard.moment - began > MINUTE:
            yard.workshop.patches_left = 5
        assert yard.moment - began < 5 * MINUTE
    patches = [params for method, params in yard.workshop.calls if method == "config.patch"]
    assert len(patches) == 2
    assert (await yard.row(agent)).provision_failure is None


async def test_the_hearts_of_many_agents_are_set_by_one_change(yard: Yard) -> None:
    for number in range(12):
        await yard.add(f"Writer {number}", heartbeat_config={"every": f"{number + 1}m"})
    await yard.settle()
    assert [method for method, _ in yard.workshop.changes].count("config.patch") == 1
    beats = [entry["heartbeat"]["every"] for entry in yard.workshop.entries.values()]
    assert beats == [f"{number + 1}m" for number in range(12)]


async def test_a_patch_makes_no_agent_of_one_that_is_gone(yard: Yard) -> None:
    """On a real gateway an entry in the config is an agent."""
    agent = await yard.add()
    while (await yard.row(agent)).step is not Step.HEARTBEAT:
        await yard.look()
        yard.moment += timedelta(seconds=5)
    yard.workshop.lose(agent.gateway_key or "")
    yard.workshop.methods["agents.list"] = lambda _: {"agents": [{"id": agent.gateway_key}]}
    await yard.look()
    assert yard.workshop.entries == {}


async def test_an_agent_that_its_gateway_has_lost_is_made_anew_once_and_then_called_lost(
    yard: Yard,
) -> None:
    agent = await yard.there()
    first, token = agent.generation, yard.token(agent)
    yard.workshop.lose(agent.gateway_key or "")
    for _ in range(4):
        yard.moment += MINUTE
        await yard.settle()
    agent = await yard.row(agent)
    assert yard.workshop.listed() == [agent.gateway_key]
    assert (agent.generation, agent.wants_wake) == (first + 1, True)
    assert yard.token(agent) != token
    assert len(await yard.events(EventType.AGENT_LOST)) == 1
    await yard.call(agent)
    await yard.settle()
    yard.workshop.lose(agent.gateway_key or "")
    for _ in range(30):
        yard.moment += MINUTE
        await yard.settle()
    agent = await yard.row(agent)
    assert yard.workshop.listed() == []
    failure = agent.provision_failure
    assert failure
    assert failure["code"] == "lost_again"
    async with yard.transaction() as session:
        await agents.bring(session, yard.world.alices, agent.id)
    await yard.settle()
    assert yard.workshop.listed() == [agent.gateway_key]


async def test_who_is_deleted_goes_from_its_gateway_first_and_has_no_token_at_once(
    yard: Yard,
) -> None:
    agent = await yard.there()
    async with yard.transaction() as session:
        board = await boards.hold(session, yard.world.alice, yard.world.garden.id)
        task = a_task(board, "Write", status=Status.IN_PROGRESS, assigned_agent_id=agent.id)
        session.add(task)
    await deleted(yard, agent)
    row = await yard.row(agent)
    assert agents.status(row, yard.moment) == AgentStatus.DELETING
    assert provisioning.state(row, yard.moment) is State.REMOVING
    async with yard.transaction() as session:
        tokens = select(AgentToken).where(AgentToken.agent_id == agent.id)
        assert (await session.scalars(tokens)).all() == []
        task = await session.scalar(select(Task).where(Task.board_id == agent.board_id))
        assert task
        assert (task.status, task.assigned_agent_id) == (Status.INBOX, None)
    await yard.settle()
    assert await yard.found(agent) is None
    assert yard.workshop.listed() == []
    told = await yard.events(EventType.AGENT_STATUS_CHANGED, EventType.AGENT_DELETED)
    assert [event.type for event in told if event.agent_id == agent.id][-2:] == [
        EventType.AGENT_STATUS_CHANGED,
        EventType.AGENT_DELETED,
    ]


async def test_a_gateway_that_does_not_let_go_is_named_and_the_agent_can_be_forgotten(
    yard: Yard,
) -> None:
    agent = await yard.there()
    yard.workshop.fault = refusing("agents.delete")
    await deleted(yard, agent)
    await yard.settle()
    row = await yard.row(agent)
    assert row.provision_failure
    assert row.provision_failure["step"] == "remove"
    assert len(await yard.events(EventType.AGENT_DELETE_FAILED)) == 1
    await deleted(yard, agent, force=True)
    assert await yard.found(agent) is None
    assert await count(yard, GatewayLeftover) == 0
    assert yard.workshop.listed() == [agent.gateway_key]


async def test_a_gateway_that_tells_nobody_whom_it_has_is_not_asked_all_the_time_what_is_left(
    yard: Yard,
) -> None:
    agent = await yard.there()
    async with yard.transaction() as session:
        board = await boards.hold(session, yard.world.alice, yard.world.garden.id)
        await boards.delete(session, yard.world.alice, board)
    yard.workshop.fault = refusing("agents.list")
    for _ in range(8):
        await yard.look()
        yard.moment += MINUTE
    await yard.look()
    more_at = await yard.look()
    assert more_at is not None
    assert more_at > yard.moment
    assert await count(yard, GatewayLeftover) == 1
    yard.workshop.fault = nothing
    yard.moment += MINUTE
    await yard.settle()
    assert await count(yard, GatewayLeftover) == 0
    assert agent.gateway_key not in yard.workshop.listed()


async def test_who_never_came_is_gone_at_once(yard: Yard) -> None:
    agent = await yard.add()
    await deleted(yard, agent)
    assert await yard.found(agent) is None
    await yard.settle()
    assert (yard.workshop.listed(), await count(yard, GatewayLeftover)) == ([], 0)


async def test_a_new_lead_has_the_place_of_the_old_one_once_that_is_free(yard: Yard) -> None:
    old = await yard.there("Ada", is_board_lead=True)
    yard.workshop.fault = refusing("agents.delete")
    await deleted(yard, old)
    new = await yard.add("Ada", is_board_lead=True)
    assert new.gateway_key == old.gateway_key
    await yard.settle()
    failure = (await yard.row(new)).provision_failure
    assert failure
    assert failure["code"] == "place_taken"
    yard.workshop.fault = nothing
    yard.moment += 11 * MINUTE
    await yard.settle()
    yard.moment += 11 * MINUTE
    await yard.settle()
    assert await yard.found(old) is None
    created = [method for method, _ in yard.workshop.changes if method.startswith("agents.")]
    assert created == [
        *("agents.create", "agents.update", "agents.files.set", "agents.files.set"),
        *("agents.files.set", "agents.files.set", "agents.files.set", "agents.delete"),
        *("agents.create", "agents.update", "agents.files.set", "agents.files.set"),
        *("agents.files.set", "agents.files.set", "agents.files.set"),
    ]


async def test_a_name_is_free_as_soon_as_its_agent_goes_and_no_task_is_given_to_it(
    yard: Yard,
) -> None:
    agent = await yard.there("Ada")
    await deleted(yard, agent)
    await yard.add("Ada")


async def test_who_is_on_no_gateway_cannot_be_brought_to_any(yard: Yard, world: World) -> None:
    async with yard.transaction() as session:
        with pytest.raises(Conflict) as refused:
            await agents.bring(session, world.alices, world.worker.id)
    assert refused.value.code == "agent_not_brought"


async def test_a_gateway_that_breaks_at_a_step_is_not_broken_again_and_again(yard: Yard) -> None:
    yard.workshop.fault = lambda method, _: Before(1006) if method == "agents.create" else None
    agent = await yard.add()
    await yard.settle()
    failure = (await yard.row(agent)).provision_failure
    assert failure
    assert (failure["step"], failure["code"]) == ("create", "closed")
    before = len(yard.workshop.connects)
    yard.moment += MINUTE
    await yard.settle()
    await yard.settle()
    assert len(yard.workshop.connects) == before


async def test_what_failed_is_tried_again_when_its_gateway_comes_back(yard: Yard) -> None:
    yard.workshop.fault = refusing("agents.update")
    agent = await yard.add()
    await yard.settle()
    assert (await yard.row(agent)).provision_failure
    yard.workshop.fault = nothing
    await yard.link.close()
    yard.moment += MINUTE
    await yard.settle()
    agent = await yard.row(agent)
    assert (agent.step, agent.provision_failure) == (Step.CHECK_IN, None)
