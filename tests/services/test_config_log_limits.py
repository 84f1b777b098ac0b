"""The log of a gateway's configuration: what it stores, how much, and what it confirms."""

import pytest
from sqlalchemy import Uuid, bindparam, text

from models import Agent, ConfigChangeKind, new_id
from services import agents, boards, desired_state
from services.agents import AgentCreate
from services.gateways.provisioning import config_log
from services.gateways.provisioning.config_log import (
    ConfigLog,
    ConfigWrite,
    build_deletion_of_oldest,
)
from tests.services.test_file_sync import harness
from tests.services.test_gateway_config_log import describe, list_changes
from tests.support.provisioning_harness import ProvisioningHarness
from tests.support.query_plans import explain

__all__ = ["harness"]  # a fixture

ADDED, CHANGED, REMOVED = ConfigChangeKind


async def test_a_lead_does_not_displace_what_a_person_has_changed(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_log, "MAX_CHANGES_BY_ACTOR", 3)
    lead = await harness.create_online_agent("Boss", is_board_lead=True)
    await harness.update_board(max_agents=9)
    for name in ("Ada", "Bea"):
        async with harness.transaction() as session:
            actor = await session.get_one(Agent, lead.id)
            board = await boards.lock_board(session, actor, harness.world.garden.id)
            await agents.create_agent(session, actor, board, AgentCreate(name=name))
        await harness.reconcile_until_idle()
    found = [describe(entry) for entry in await list_changes(harness)]
    assert found == [
        *[(kind, "Bea", "agent.created", "Boss") for kind in (CHANGED, ADDED)],
        (CHANGED, "Ada", "agent.created", "Boss"),
        *[(kind, "Boss", "agent.created", "Alice") for kind in (CHANGED, ADDED)],
    ]


async def test_a_pass_confirms_all_that_it_writes_also_above_the_limit(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next pass deletes what is above the limit."""
    monkeypatch.setattr(config_log, "MAX_CHANGES_BY_ACTOR", 2)
    first, next = (
        ConfigLog(harness.transaction, harness.gateway.id, lambda: harness.moment) for _ in "12"
    )
    keys = [f"old-{number}" for number in range(4)]
    await first.record([ConfigWrite(key, REMOVED, "") for key in keys[:3]])
    await first.record([ConfigWrite(keys[3], REMOVED, "")])
    for key in keys:
        async with harness.transaction() as session:
            await first.confirm_removal(session, key)
    changes = [entry.change for entry in await list_changes(harness)]
    assert sorted(change.agent_key for change in changes) == keys
    assert all(change.confirmed_at for change in changes)
    await next.record([ConfigWrite("new", REMOVED, "")])
    assert len(await list_changes(harness)) == 2


async def test_old_changes_are_found_by_their_actor(harness: ProvisioningHarness) -> None:
    """Also those of nobody. The cost does not grow with the changes of others."""
    gateway_id, alice_id = harness.gateway.id, harness.world.alice.id
    async with harness.transaction() as session:
        await session.execute(
            text(
                "insert into gateway_config_changes "
                "(id, gateway_id, agent_key, kind, diff, actor_id, created_at) "
                "select gen_random_uuid(), :gateway, 'mc-' || k, 'added', '', "
                "case when k % 20 > 1 then gen_random_uuid() when k % 20 = 1 then :actor end, "
                "now() from generate_series(1, 10000) k"
            ).bindparams(
                bindparam("gateway", gateway_id, Uuid()), bindparam("actor", alice_id, Uuid())
            )
        )
        await session.execute(text("analyze gateway_config_changes"))
        for actor_id in (alice_id, None):
            deletion = build_deletion_of_oldest(gateway_id, actor_id, before_id=new_id())
            plan = await explain(session, deletion)
            assert plan.count("ix_gateway_config_changes_gateway_id_actor_id_id") == 2, plan
            assert "Filter" not in plan, plan


async def test_writes_with_the_same_cause_are_one_row(harness: ProvisioningHarness) -> None:
    """Somebody changes the name on the gateway again and again."""
    agent = await harness.create_online_agent()
    for name in ("Seven", "Eight"):
        harness.fake.entries[agent.gateway_key or ""]["name"] = name
        async with harness.transaction() as session:
            await desired_state.request_sync(session, Agent.id == agent.id)
        await harness.reconcile_until_idle()
    changed, added = [entry.change for entry in await list_changes(harness)]
    assert (changed.kind, changed.writes, added.kind, added.writes) == (CHANGED, 3, ADDED, 1)
    assert '-        "name": "Eight"' in changed.diff.splitlines()
    async with harness.transaction() as session:
        new = {"name": "Author"}
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, agents.AgentUpdate.parse(new)
        )
    await harness.reconcile_until_idle()
    assert [entry.change.writes for entry in await list_changes(harness)] == [1, 3, 1]


async def test_only_the_values_that_differ_are_stored(harness: ProvisioningHarness) -> None:
    """In both directions, and also if the gateway has something of another type."""
    agent = await harness.create_online_agent()
    stored = []
    for heartbeat in (
        {"every": "9m", "target": "none", "prompt": "my secret", "to": "+123"},
        {"every": {"secret": "9m"}, "target": "none"},
        "my secret",
    ):
        await harness.add_own_heartbeat(agent, heartbeat)
        async with harness.transaction() as session:
            await desired_state.request_sync(session, Agent.id == agent.id)
        await harness.reconcile_until_idle()
        diff = (await list_changes(harness))[0].change.diff
        stored.append([line for line in diff.splitlines()[3:] if '": "' in line])
    assert stored == [
        ['-          "every": "9m",', '-          "target": "none"'],
        ['-          "every": "…",', '-          "target": "none"'],
        [],
    ]


async def test_a_pass_confirms_only_what_it_has_recorded(harness: ProvisioningHarness) -> None:
    """A process that has lost the lease does not confirm what the next one is about to write."""
    agent = await harness.create_online_agent()
    key = agent.gateway_key or ""
    old, new = (
        ConfigLog(harness.transaction, harness.gateway.id, lambda: harness.moment) for _ in "12"
    )
    await old.record([ConfigWrite(key, REMOVED, "old", agent)])
    await new.record([ConfigWrite(key, REMOVED, "new", agent)])
    confirmed = []
    for log in (old, new):
        async with harness.transaction() as session:
            await log.confirm_removal(session, key)
        row = (await list_changes(harness))[0].change
        confirmed.append((row.diff, row.confirmed_at is not None))
    assert confirmed == [("new", False), ("new", True)]


async def test_the_removal_of_a_lead_with_its_board_names_it(harness: ProvisioningHarness) -> None:
    lead = await harness.create_online_agent("Boss", is_board_lead=True)
    async with harness.transaction() as session:
        member, alice = harness.world.alice_member, harness.world.alice
        board = await boards.lock_board_as_admin(session, member, harness.world.garden.id)
        await boards.delete_board(session, alice, board)
    await harness.reconcile_until_idle()
    gone = (await list_changes(harness))[0]
    assert describe(gone) == (REMOVED, "Boss", "board.deleted", "Alice")
    assert (gone.change.agent_id, gone.has_agent) == (lead.id, False)
