"""What left agents of the original behind: here each of them goes on (contract, W-02 to W-59)."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, EventType, Step
from services import agents, boards, identity, onboarding, provisioning
from services.onboarding import Goal
from services.provisioning import rules
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import After, Before, Fault
from tests.services.yard import BASE_URL, Yard, a_yard
from tests.world import World

AWAY = "UNAVAILABLE"
MINUTES = timedelta(minutes=1)


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yield yard


def refusing(*methods: str) -> Any:
    """Make a fault: the gateway does not do these."""

    def refuse(method: str, _params: Any) -> Fault:
        return Refused(AWAY, "not now") if method in methods else None

    return refuse


async def ask(yard: Yard, agent: Agent, **how: Any) -> None:
    async with yard.transaction() as session:
        await provisioning.ask(session, Agent.id == agent.id, **how)


async def known(yard: Yard, token: str) -> str | None:
    """Return the name of the agent that has a token."""
    async with yard.transaction() as session:
        agent = await identity.agent_with_token(session, token)
        return agent.name if agent else None


async def passes(yard: Yard, by: timedelta) -> None:
    """Let time pass, and the station look as often as it has to meanwhile."""
    until = yard.moment + by
    while True:
        more_at = await yard.look()
        if more_at is None or more_at > until:
            break
        yard.moment = max(yard.moment, more_at)
    yard.moment = until
    await yard.look()


async def test_a_token_that_never_arrives_leaves_the_old_one_in_force(yard: Yard) -> None:
    """W-02, W-30."""
    agent = await yard.there()
    old = yard.token(agent)
    yard.workshop.fault = refusing("agents.files.set")
    await ask(yard, agent, rotate=True)
    await passes(yard, 5 * MINUTES)
    assert (await yard.row(agent)).provision_failure
    assert await known(yard, old) == agent.name
    yard.workshop.fault = lambda _method, _params: None
    await passes(yard, 15 * MINUTES)
    new = yard.token(agent)
    assert new != old
    assert await known(yard, old) == await known(yard, new) == agent.name
    assert await known(yard, old) is None
    assert (await yard.row(agent)).provision_failure is None


async def test_a_call_that_is_done_and_not_answered_loses_no_token(yard: Yard) -> None:
    """W-30: what was written there is known here before it is written."""
    agent = await yard.there()

    def cut_off(method: str, _params: Any) -> Fault:
        return After() if method == "agents.files.set" else None

    yard.workshop.fault = cut_off
    await ask(yard, agent, rotate=True)
    await yard.look()
    yard.workshop.fault = lambda _method, _params: None
    assert await known(yard, yard.token(agent)) == agent.name


@pytest.mark.parametrize("method", ["agents.create", "agents.files.set", "config.patch"])
async def test_what_fails_at_first_is_tried_again_by_itself(yard: Yard, method: str) -> None:
    """W-25, W-26: and by the same generation, as nobody has asked for anything else."""
    yard.workshop.fault = refusing(method)
    agent = await yard.add()
    await passes(yard, 5 * MINUTES)
    failed = await yard.row(agent)
    assert failed.provision_failure
    assert failed.provision_failure["reason"]
    yard.workshop.fault = lambda _method, _params: None
    await passes(yard, rules.TRY_ANYWAY + MINUTES)
    there = await yard.row(agent)
    assert (there.observed_generation, there.generation) == (1, failed.generation)
    assert there.provision_failure is None
    assert agent.gateway_key in yard.workshop.listed()


async def test_an_agent_that_cannot_come_yet_is_there_and_its_name_can_be_had_again(
    yard: Yard, world: World
) -> None:
    """W-12: it says what is in the way, is tried again when somebody asks, and can be deleted."""
    yard.workshop.fault = refusing("agents.create")
    agent = await yard.add("Ada")
    await passes(yard, 3 * MINUTES)
    failure = (await yard.row(agent)).provision_failure
    assert failure
    assert failure["step"] == "create"
    await ask(yard, agent)
    assert (await yard.row(agent)).provision_failure is None
    async with yard.transaction() as session:
        await agents.delete(session, world.alice, agent.id)
    again = await yard.add("Ada")
    yard.workshop.fault = lambda _method, _params: None
    await passes(yard, 15 * MINUTES)
    assert again.gateway_key in yard.workshop.listed()
    assert agent.gateway_key not in yard.workshop.listed()


async def test_who_does_not_check_in_is_woken_again_and_left_as_it_is(yard: Yard) -> None:
    """W-29, W-28: with time for a long first turn, its token, its session; then a reason stands."""
    agent = await yard.add()
    await yard.settle()
    token, changes = yard.token(agent), list(yard.workshop.changes)
    assert rules.TIME_FOR[Step.CHECK_IN] >= 2 * MINUTES
    for wakes in range(1, rules.MOST_WAKES + 1):
        assert (await yard.row(agent)).wake_attempts == len(await yard.messages(agent)) == wakes
        await passes(yard, rules.TIME_FOR[Step.CHECK_IN] + MINUTES / 2)
    silent = await yard.row(agent)
    assert silent.provision_failure
    assert silent.provision_failure["code"] == "no_check_in"
    assert agents.status(silent, yard.moment) == "offline"
    assert yard.workshop.changes == changes
    assert yard.token(agent) == token
    assert len(await yard.messages(agent)) == rules.MOST_WAKES
    await yard.call(agent)
    await yard.settle()
    assert (await yard.row(agent)).provision_failure is None


async def test_who_is_asked_for_by_a_person_gets_all_its_tries_again(yard: Yard) -> None:
    """W-27."""
    agent = await yard.add()
    await passes(yard, 15 * MINUTES)
    assert (await yard.row(agent)).provision_failure
    await ask(yard, agent, wake=True)
    await yard.settle()
    woken = await yard.row(agent)
    assert (woken.wake_attempts, woken.provision_failure) == (1, None)
    await passes(yard, 15 * MINUTES)
    assert len(await yard.messages(agent)) == 2 * rules.MOST_WAKES


async def test_a_change_meanwhile_does_not_end_the_watch(yard: Yard) -> None:
    """W-34: nor is an agent taken to be there that never called."""
    agent = await yard.add()
    await yard.settle()
    await ask(yard, agent)
    await yard.settle()
    waiting = await yard.row(agent)
    assert (waiting.step, waiting.wants_wake, waiting.last_seen_at) == (Step.CHECK_IN, True, None)
    await passes(yard, 15 * MINUTES)
    assert (await yard.row(agent)).provision_failure


async def test_nothing_is_locked_while_a_gateway_is_asked(
    transaction: Transaction, world: World
) -> None:
    """W-31."""
    opened = 0

    @asynccontextmanager
    async def counted() -> AsyncGenerator[AsyncSession]:
        nonlocal opened
        opened += 1
        async with transaction() as session:
            yield session
        opened -= 1

    async with a_yard(counted, world) as yard:
        meanwhile: list[int] = []
        yard.workshop.fault = lambda _method, _params: meanwhile.append(opened)
        agent = await yard.there()
        await ask(yard, agent, rotate=True)
        await yard.settle()
    assert len(meanwhile) > 10
    assert set(meanwhile) == {0}


async def test_a_gateway_restarts_by_a_change_of_its_config_and_nothing_else_is_in_that(
    yard: Yard,
) -> None:
    """W-33."""
    own = {"name": "Somebody's", "model": "own", "heartbeat": {"every": "1h"}}
    yard.workshop.entries["own"] = dict(own)
    yard.workshop.config["tools"] = {"exec": {"host": "own"}}
    restarts = [After(), Before()]

    def restart(method: str, _params: Any) -> Fault:
        return restarts.pop() if method == "config.patch" and restarts else None

    yard.workshop.fault = restart
    crew = [await yard.add(name) for name in ("Ada", "Bo", "Cy")]
    await yard.settle()
    assert restarts == []
    for agent in crew:
        there = await yard.row(agent)
        assert (there.step, there.provision_failure) == (Step.CHECK_IN, None)
    assert yard.workshop.entries["own"] == own
    assert yard.workshop.config["tools"] == {"exec": {"host": "own"}}
    patches = [params["raw"] for method, params in yard.workshop.changes if "config" in method]
    for patch in map(json.loads, patches):
        assert patch.keys() == {"agents"}
        entries = patch["agents"]["entries"]
        assert entries.keys() <= {agent.gateway_key for agent in crew}
        assert [[*entry] for entry in entries.values()] == [["heartbeat"]] * len(entries)


async def test_what_an_agent_changed_is_kept_until_it_is_to_be_written_over(yard: Yard) -> None:
    """W-35, W-07: its token stays meanwhile, and is not looked for in its files."""
    agent = await yard.there(soul_template="Be kind.")
    token, ours = yard.token(agent), yard.files(agent)["SOUL.md"]
    yard.files(agent)["SOUL.md"] = "My own."
    for overwrite, soul in (((), "My own."), (provisioning.MANAGED, ours)):
        await ask(yard, agent, overwrite=overwrite)
        await yard.settle()
        assert yard.files(agent)["SOUL.md"] == soul
        assert yard.token(agent) == token
    yard.files(agent)["AGENTS.md"] = "I threw it away."
    await ask(yard, agent)
    await yard.settle()
    assert yard.token(agent) == token


@pytest.mark.parametrize("lead", [False, True])
async def test_an_agent_begins_with_our_words_and_no_file_of_the_gateway_speaks_for_us(
    yard: Yard, *, lead: bool
) -> None:
    """W-15, W-59: a first message, since BOOTSTRAP.md is gone before the first turn."""
    agent = await yard.there("Ada", is_board_lead=lead)
    await ask(yard, agent)
    await yard.settle()
    [hello] = await yard.messages(agent)
    assert hello.kind == "WAKE UP"
    assert "check-in" in hello.content
    written = [params["name"] for method, params in yard.workshop.changes if "files" in method]
    assert "BOOTSTRAP.md" not in written
    for name in ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md"):
        assert yard.files(agent)[name] != "The gateway's own."


async def test_who_moves_away_is_gone_from_where_it_lived(yard: Yard, world: World) -> None:
    """W-48: with the token that was written there."""
    agent = await yard.there()
    key, token = agent.gateway_key, yard.token(agent)
    async with yard.transaction() as session:
        elsewhere = {"board_id": world.board.id}
        await agents.change(session, world.alices, agent.id, elsewhere)
    await passes(yard, MINUTES)
    assert key not in yard.workshop.listed()
    assert await known(yard, token) is None
    moved = await yard.row(agent)
    assert (moved.board_id, moved.gateway_id, moved.step) == (world.board.id, None, None)


async def test_a_board_is_deleted_while_its_gateway_is_away_and_nothing_is_left_there(
    yard: Yard, world: World
) -> None:
    """C23, W-53."""
    crew = [await yard.there(name) for name in ("Ada", "Bo")]
    tokens = [yard.token(agent) for agent in crew]
    yard.is_away = True
    await yard.link.close()
    async with yard.transaction() as session:
        board = await boards.hold(session, world.alice, world.garden.id)
        await boards.delete(session, world.alice, board)
    await passes(yard, MINUTES)
    assert [await known(yard, token) for token in tokens] == [None, None]
    assert [await yard.found(agent) for agent in crew] == [None, None]
    yard.is_away = False
    await passes(yard, 5 * MINUTES)
    assert not {agent.gateway_key for agent in crew} & set(yard.workshop.listed())


async def test_the_lead_of_a_confirmed_goal_comes_whenever_its_gateway_is_there(
    yard: Yard, world: World
) -> None:
    """W-13."""
    yard.workshop.fault = refusing("agents.create")
    goal = Goal(board_type="general", lead_agent={"name": "Ada"})
    async with yard.transaction() as session:
        board = await boards.hold(session, world.alice, world.garden.id)
        await onboarding.start(session, world.alice, board, base_url=BASE_URL)
        await onboarding.confirm(session, world.alice, board, goal)
    await passes(yard, 3 * MINUTES)
    [lead] = [one async for one in leads(yard, world)]
    assert lead.provision_failure
    yard.workshop.fault = lambda _method, _params: None
    await passes(yard, rules.TRY_ANYWAY + MINUTES)
    assert lead.gateway_key in yard.workshop.listed()
    told = await yard.events(EventType.AGENT_PROVISIONED)
    assert [event.agent_id for event in told] == [lead.id]


async def leads(yard: Yard, world: World) -> AsyncIterator[Agent]:
    async with yard.transaction() as session:
        crew = await agents.of_board(session, world.garden)
    for one in crew:
        if one.is_board_lead:
            yield one
