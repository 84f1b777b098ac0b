"""What a form of an agent changes in the configuration of a gateway, compared with provisioning."""

from collections.abc import Mapping
from typing import Any

import pytest

from core.errors import Forbidden, Invalid, NotFound
from models import Agent, Member, Role
from services import agents, boards, onboarding
from services.agents import AgentCreate, AgentUpdate
from services.gateways import sync
from services.gateways.provisioning.config_entries import plan_agent_change
from services.gateways.sync import AgentConfigChange
from services.onboarding import ExpectedState, OnboardingGoal
from tests.services.test_file_sync import harness
from tests.support.gateway_rows import make_gateway
from tests.support.provisioning_harness import ProvisioningHarness
from tests.support.world import World
from web.ui.unified_diff import ADDED, REMOVED, parse_diff

__all__ = ["harness"]  # a fixture


def changed_lines(diff: str, sign: str) -> list[str]:
    return [
        line.text.strip(" ,")
        for file in parse_diff(diff, "")
        for line in file.lines
        if line.sign == sign
    ]


async def preview(
    harness: ProvisioningHarness, agent: Agent, **changes: Any
) -> list[AgentConfigChange]:
    return await preview_as(harness, harness.world.alice_member, agent, changes)


async def preview_as(
    harness: ProvisioningHarness, member: Member, agent: Agent, changes: Mapping[str, Any]
) -> list[AgentConfigChange]:
    async with harness.transaction() as session:
        found = await sync.get_editable_agent(session, member, agent.id)
        return list(
            await sync.preview_agent_update(session, member, found, AgentUpdate.parse(changes))
        )


async def preview_new(harness: ProvisioningHarness, draft: AgentCreate) -> list[AgentConfigChange]:
    async with harness.transaction() as session:
        return list(
            await sync.preview_new_agent(
                session, harness.world.alice_member, harness.world.garden.id, draft
            )
        )


async def save(harness: ProvisioningHarness, agent: Agent, **changes: Any) -> None:
    """Change an agent, and provision it."""
    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, AgentUpdate.parse(changes)
        )
    await harness.reconcile_until_idle()


def entry_of(harness: ProvisioningHarness, agent: Agent) -> Mapping[str, Any]:
    return harness.fake.entries[agent.gateway_key or ""]


async def test_the_difference_is_what_provisioning_then_writes(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    cases: list[tuple[dict[str, Any], list[str], list[str]]] = [
        ({"name": "Author"}, ['"name": "Writer"'] * 2, ['"name": "Author"'] * 2),
    ]
    for changes, removed, added in cases:
        [change] = await preview(harness, agent, **changes)
        assert (change.gateway.id, change.adds_entry, change.removes_entry) == (
            harness.gateway.id,
            False,
            False,
        )
        assert changed_lines(change.diff, REMOVED) == removed
        assert changed_lines(change.diff, ADDED) == added
        assert f'"{agent.gateway_key}": {{' in change.diff
        assert entry_of(harness, agent)["name"] == "Writer"  # nothing was saved
        await save(harness, agent, **changes)
        assert await preview(harness, agent, **changes) == []
    entry = entry_of(harness, agent)
    assert (entry["name"], entry["identity"]) == ("Author", {"name": "Author"})


async def test_other_changes_of_an_agent_leave_the_configuration(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    assert await preview(harness, agent, identity_profile={"role": "Editor"}) == []
    assert await preview(harness, agent, heartbeat_config={"every": "30m"}) == []


async def test_the_entry_of_a_new_agent_is_what_provisioning_makes_of_it(
    harness: ProvisioningHarness,
) -> None:
    draft: dict[str, Any] = {"name": "Scribe", "heartbeat_config": {"every": "1h"}}
    [change] = await preview_new(harness, AgentCreate(**draft))
    assert (change.adds_entry, change.removes_entry) == (True, False)
    assert changed_lines(change.diff, REMOVED) == []
    lines = changed_lines(change.diff, ADDED)
    assert lines[0] == '"mc-…": {'
    agent = await harness.create_agent(**draft)
    await harness.reconcile_until_idle()
    shown = plan_agent_change(None, agent)
    assert changed_lines(shown, ADDED)[1:] == lines[1:]
    entry = entry_of(harness, agent)
    assert set(entry) - {"workspace"} == {"name", "identity"}
    assert '"name": "Scribe"' in lines
    assert entry["name"] == "Scribe"

    [lead] = await preview_new(harness, AgentCreate(**draft, is_board_lead=True))
    assert changed_lines(lead.diff, ADDED)[0] == f'"lead-{harness.world.garden.id}": {{'
    assert len(harness.fake.entries) == 1  # nothing was created


async def test_the_launch_of_a_board_shows_the_entry_of_its_lead(
    harness: ProvisioningHarness,
) -> None:
    goal = OnboardingGoal(board_type="general", lead_agent={"name": "Ava"})

    async def preview_launch() -> AgentConfigChange | None:
        async with harness.transaction() as session:
            preview = await onboarding.preview_goal(
                session, world.alice, await harness.get_board(), goal, base_url="https://x.example"
            )
            return preview.config_change

    world = harness.world
    change = await preview_launch()
    assert change is not None
    assert (change.gateway.id, change.adds_entry) == (harness.gateway.id, True)
    assert harness.fake.entries == {}  # nothing was created
    async with harness.transaction() as session:
        board = await boards.lock_board(session, world.alice, world.garden.id)
        expected = ExpectedState()
        confirmed = await onboarding.confirm_without_agent(
            session, world.alice, board, goal, expected=expected
        )
    await harness.reconcile_until_idle()
    assert confirmed.lead is not None
    entry = entry_of(harness, confirmed.lead)
    lines = changed_lines(change.diff, ADDED)
    assert lines[0] == f'"lead-{world.garden.id}": {{'
    assert (entry["name"], '"name": "Ava"' in lines) == ("Ava", True)
    assert await preview_launch() is None  # the lead exists

    await harness.update_board(gateway_id=None)
    async with harness.transaction() as session:
        await session.delete(await session.get_one(Agent, confirmed.lead.id))
    assert await preview_launch() is None


async def test_a_move_shows_what_each_gateway_removes_and_adds(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    world = harness.world
    [gone] = await preview(harness, agent, board_id=world.board.id)  # it has no gateway
    assert (gone.adds_entry, gone.removes_entry) == (False, True)
    assert f'"{agent.gateway_key}": {{' in changed_lines(gone.diff, REMOVED)
    assert changed_lines(gone.diff, ADDED) == []

    async with harness.transaction() as session:
        other = make_gateway(world.tern, "Quay")
        session.add(other)
        await session.flush()
        (await session.merge(world.board)).gateway_id = other.id
    first, second = await preview(harness, agent, board_id=world.board.id, name="Author")
    assert (first.gateway.id, first.removes_entry) == (harness.gateway.id, True)
    assert (second.gateway.id, second.adds_entry) == (other.id, True)
    assert '"name": "Author"' in changed_lines(second.diff, ADDED)


async def test_a_lead_that_moves_on_its_gateway_gets_another_entry(
    harness: ProvisioningHarness,
) -> None:
    lead = await harness.create_online_agent(is_board_lead=True)
    async with harness.transaction() as session:
        (await session.merge(harness.world.board)).gateway_id = harness.gateway.id
    [change] = await preview(harness, lead, board_id=harness.world.board.id)
    assert (change.adds_entry, change.removes_entry) == (True, True)
    assert changed_lines(change.diff, REMOVED) == [f'"{lead.gateway_key}": {{']
    assert changed_lines(change.diff, ADDED) == [f'"mc-{lead.id}": {{']


async def test_only_provisioned_agents_have_a_difference(harness: ProvisioningHarness) -> None:
    every: dict[str, Any] = {"heartbeat_config": {"every": "30m"}}
    assert await preview(harness, harness.world.worker, **every) == []  # no gateway
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        linked = await session.merge(agent)
        linked.is_linked, linked.desired_state = True, None
        (await session.merge(harness.world.board)).gateway_id = harness.gateway.id
    assert await preview(harness, agent, **every, name="Other") == []
    assert await preview(harness, agent, board_id=harness.world.board.id) == []


async def test_who_may_not_edit_an_agent_gets_no_difference(harness: ProvisioningHarness) -> None:
    world: World = harness.world
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:  # an admin who may only read the board
        reader = await session.merge(world.rita_member)
        reader.role, reader.all_boards_read = Role.ADMIN, True
    for member, error in [
        (reader, Forbidden),
        (world.bob_member, Forbidden),
        (world.dana_member, Forbidden),
        (world.charlie_member, NotFound),
    ]:
        with pytest.raises(error):
            await preview_as(harness, member, agent, {"name": "Other"})
    with pytest.raises(NotFound):
        await preview(harness, agent, board_id=world.charlies_board.id)
    with pytest.raises(Invalid):
        await preview(harness, agent, heartbeat_config={"every": "soon"})


def test_an_older_gateway_has_a_list_of_agents() -> None:
    before, after = (
        Agent(name=name, openclaw_session_id="agent:mc-1:main") for name in ("Writer", "Author")
    )
    added = plan_agent_change(None, after, as_list=True)
    assert '"list": [' in added
    assert changed_lines(added, ADDED)[-2:] == ['"name": "Author"', "}"]
    assert '"id": "mc-1"' in changed_lines(added, ADDED)
    changed = plan_agent_change(before, after, as_list=True)
    assert changed_lines(changed, ADDED) == ['"name": "Author"'] * 2
    assert plan_agent_change(after, after, as_list=True) == ""
    assert plan_agent_change(None, None) == ""
