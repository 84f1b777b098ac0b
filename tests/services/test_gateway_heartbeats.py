"""Heartbeats on gateways: those of others go on, ours are messages."""

from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import Agent, ConfigChangeKind, Message, MessageState, Organization
from services import agents
from services.desired_state import request_sync
from services.gateways.provisioning import plan_config_change
from services.gateways.provisioning.steps import QUIET_SCRATCH
from services.messages import circuit_breakers
from tests.services.test_gateway_config_log import list_changes
from tests.services.test_provisioning import send_chat_command
from tests.support.provisioning_harness import ProvisioningHarness, run_provisioning_harness
from tests.support.world import World

DEFAULTS = {"heartbeat": {"every": "10m", "target": "none"}}
OTHERS = {"main": {"workspace": "/main"}, "ada": {"name": "Ada"}, "bob": {}, "cyd": {}}
LOUD = {"every": "5m", "quiet": False}


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    config = {"agents": {"defaults": deepcopy(DEFAULTS), "entries": deepcopy(OTHERS)}}
    async with run_provisioning_harness(transaction, world, config=config) as harness:
        yield harness


def find_foreign_parts(harness: ProvisioningHarness) -> tuple[Any, Any]:
    """Return the configuration and the heartbeats of the agents that are not ours."""
    config = deepcopy(harness.fake.config)
    config["agents"]["entries"] = {k: v for k, v in harness.fake.entries.items() if k in OTHERS}
    beats = {k: every for k, every in harness.fake.list_heartbeats().items() if k in OTHERS}
    return config, beats


async def sync(harness: ProvisioningHarness, agent: Agent) -> None:
    async with harness.transaction() as session:
        await request_sync(session, Agent.id == agent.id)
    await harness.reconcile_until_idle()


async def save(harness: ProvisioningHarness, agent: Agent, **changes: Any) -> None:
    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, agents.AgentUpdate.parse(changes)
        )
    await harness.reconcile_until_idle()


async def list_heartbeat_messages(harness: ProvisioningHarness, agent: Agent) -> list[Message]:
    found = await harness.list_messages(agent)
    return [message for message in found if message.kind == "HEARTBEAT"]


async def test_agents_of_others_keep_their_heartbeats(harness: ProvisioningHarness) -> None:
    """W-54."""
    before = find_foreign_parts(harness)
    assert before[1] == dict.fromkeys(OTHERS, "10m")
    quiet = await harness.create_online_agent()
    assert find_foreign_parts(harness) == before
    loud = await harness.create_online_agent("Loud", heartbeat_config=LOUD)
    await save(harness, quiet, name="Author", heartbeat_config={"every": "1h"})
    await save(harness, loud, heartbeat_config={"every": "0m"})
    assert find_foreign_parts(harness) == before
    assert [key for key, entry in harness.fake.entries.items() if "heartbeat" in entry] == []
    assert harness.fake.scratches == {}  # a quiet one would be a failed task
    for agent in (quiet, loud):
        async with harness.transaction() as session:
            await agents.delete_agent(session, harness.world.alice, agent.id)
    await harness.reconcile_until_idle()
    assert find_foreign_parts(harness) == before
    assert harness.fake.entries == OTHERS


async def test_heartbeats_of_an_earlier_version_are_removed(harness: ProvisioningHarness) -> None:
    before = find_foreign_parts(harness)
    agent = await harness.create_online_agent()
    await harness.add_own_heartbeat(agent, {"every": "30m", "target": "none"})
    harness.fake.scratches[agent.gateway_key or ""] = (QUIET_SCRATCH, 1)
    assert harness.fake.list_heartbeats().keys() == {agent.gateway_key}
    agent = await harness.get_agent(agent)
    change = plan_config_change([agent], harness.fake.config)
    removed = [line[1:].strip() for line in change.diff.splitlines()[2:] if line[0] == "-"]
    assert '"every": "30m",' in removed
    assert change.inherited_heartbeat == "10m"

    await harness.reconciler.take_over(harness.gateway.id)
    await harness.reconcile_until_idle()
    assert find_foreign_parts(harness) == before
    assert harness.fake.scratches == {}
    logged = (await list_changes(harness))[0].change
    assert (logged.kind, logged.confirmed_at is not None) == (ConfigChangeKind.CHANGED, True)
    assert '-        "heartbeat": {' in logged.diff.splitlines()

    calls = len(harness.fake.changes)
    await harness.reconciler.take_over(harness.gateway.id)
    await harness.reconcile_until_idle()
    assert len(harness.fake.changes) == calls
    assert (await harness.get_agent(agent)).generation == agent.generation + 1


async def test_a_heartbeat_that_somebody_gives_our_agent_stays(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    own = {"every": "2h", "target": "none"}
    harness.fake.entries[agent.gateway_key or ""]["heartbeat"] = own
    await save(harness, agent, name="Author")
    entry = harness.fake.entries[agent.gateway_key or ""]
    assert (entry["name"], entry["heartbeat"]) == ("Author", own)


@pytest.mark.parametrize(
    ("heartbeat", "inherited"),
    [
        ({"every": "15m"}, "15m"),
        ({}, "30m"),
        ({"every": "0m"}, ""),
        ({"every": "15m", "agentId": "ada"}, ""),
        (None, ""),
    ],
)
def test_the_preview_says_which_heartbeats_our_agents_inherit(
    heartbeat: object, inherited: str
) -> None:
    defaults = {} if heartbeat is None else {"heartbeat": heartbeat}
    config = {"agents": {"defaults": defaults, "entries": {"ada": {}}}}
    assert plan_config_change([], config).inherited_heartbeat == inherited
    older = {"agents": {"defaults": defaults, "list": [{"id": "ada"}]}}
    assert plan_config_change([], older).inherited_heartbeat == ""
    config["agents"]["entries"]["ada"] = {"heartbeat": {"every": "1h"}}
    assert plan_config_change([], config).inherited_heartbeat == ""


async def test_inherited_heartbeats_call_no_model_while_paused(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    key = agent.gateway_key or ""
    assert harness.fake.list_heartbeats()[key] == "10m"
    await send_chat_command(harness, "/pause")
    await harness.reconcile_until_idle()
    assert harness.fake.scratches[key][0] == QUIET_SCRATCH
    await send_chat_command(harness, "/resume")
    await harness.reconcile_until_idle()
    assert harness.fake.scratches == {}
    harness.fake.scratches[key] = ("Look at the weather.", 7)  # of somebody else
    await sync(harness, agent)
    assert harness.fake.scratches[key] == ("Look at the weather.", 7)


async def let_time_pass(harness: ProvisioningHarness, minutes: int) -> None:
    for _ in range(minutes):
        harness.moment += timedelta(minutes=1)
        await harness.reconcile_once()


async def acknowledge_all(harness: ProvisioningHarness) -> None:
    async with harness.transaction() as session:
        await session.execute(update(Message).values(state=MessageState.ACKNOWLEDGED))


async def test_an_agent_that_works_unasked_gets_heartbeat_messages(
    harness: ProvisioningHarness,
) -> None:
    quiet = await harness.create_online_agent(heartbeat_config={"every": "5m"})
    loud = await harness.create_online_agent("Loud", heartbeat_config=LOUD)
    await let_time_pass(harness, 4)
    assert await list_heartbeat_messages(harness, loud) == []
    await let_time_pass(harness, 2)
    [first] = await list_heartbeat_messages(harness, loud)
    assert first.content.startswith("HEARTBEAT\n\nYou are woken every 5m.")
    assert "./mc POST /agent/heartbeat" in first.content
    await let_time_pass(harness, 11)
    assert len(await list_heartbeat_messages(harness, loud)) == 1  # it has not ended
    await acknowledge_all(harness)
    await let_time_pass(harness, 11)
    assert len(await list_heartbeat_messages(harness, loud)) == 2
    await acknowledge_all(harness)
    await save(harness, loud, heartbeat_config={"every": "0m", "quiet": False})
    await let_time_pass(harness, 30)
    assert len(await list_heartbeat_messages(harness, loud)) == 2
    assert await list_heartbeat_messages(harness, quiet) == []
    assert not [
        params for method, params in harness.fake.calls if method in ("cron.add", "cron.update")
    ]


async def test_syncs_do_not_postpone_heartbeat_messages(harness: ProvisioningHarness) -> None:
    loud = await harness.create_online_agent("Loud", heartbeat_config=LOUD)
    for _ in range(4):
        await let_time_pass(harness, 2)
        await sync(harness, loud)
    assert len(await list_heartbeat_messages(harness, loud)) == 1


async def test_paused_and_stopped_agents_get_no_heartbeat_messages(
    harness: ProvisioningHarness,
) -> None:
    loud = await harness.create_online_agent("Loud", heartbeat_config=LOUD)
    await send_chat_command(harness, "/pause")
    await let_time_pass(harness, 12)
    assert await list_heartbeat_messages(harness, loud) == []
    await send_chat_command(harness, "/resume")
    async with harness.transaction() as session:
        await session.execute(update(Organization).values(stopped_at=harness.moment))
    await let_time_pass(harness, 12)
    assert await list_heartbeat_messages(harness, loud) == []
    async with harness.transaction() as session:
        await session.execute(update(Organization).values(stopped_at=None))
    await let_time_pass(harness, 6)
    assert len(await list_heartbeat_messages(harness, loud)) == 1


async def test_heartbeat_messages_do_not_trip_the_circuit_breakers(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(replace(limit, count=20) for limit in circuit_breakers.MESSAGE_LIMITS)
    monkeypatch.setattr(circuit_breakers, "MESSAGE_LIMITS", few)
    loud = await harness.create_online_agent()
    every_second = {"every": "1s", "quiet": False}
    async with harness.transaction() as session:
        await session.execute(
            update(Agent)
            .where(Agent.id == loud.id)
            .values(heartbeat_config=every_second, next_heartbeat_at=harness.moment)
        )
    for _ in range(30):
        harness.moment += timedelta(seconds=2)
        await harness.reconcile_once()
        await acknowledge_all(harness)
    assert len(await list_heartbeat_messages(harness, loud)) > 25
    assert (await harness.get_agent(loud)).held_at is None
