"""The log of a gateway's configuration: what was written, when, and because of whom."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import Agent, Board, ConfigChangeKind, GatewayConfigChange, Member
from services import agents, boards, desired_state
from services.agents import AgentCreate
from services.gateways.provisioning import LoggedConfigChange, config_log
from services.gateways.provisioning.config_log import parse_agent_key
from tests.services.test_file_sync import harness
from tests.support.fake_agents_gateway import LostAfter
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import ProvisioningHarness

__all__ = ["harness"]  # a fixture

ADDED, CHANGED, REMOVED = ConfigChangeKind


async def list_changes(
    harness: ProvisioningHarness, member: Member | None = None, before: UUID | None = None
) -> Sequence[LoggedConfigChange]:
    """Return the log, newest first."""
    async with harness.transaction() as session:
        page = await config_log.load_config_log(
            session, member or harness.world.alice_member, harness.gateway, before
        )
        return page.changes


def describe(entry: LoggedConfigChange) -> tuple[Any, ...]:
    """Return the kind, the agent, the action that led to it and its actor."""
    change, cause = entry.change, entry.cause
    return change.kind, change.agent_name, cause and cause.action, cause and cause.actor_name


async def test_a_new_agent_is_logged_with_what_was_written_and_its_cause(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    written, added = await list_changes(harness)
    assert describe(added) == (ADDED, "Writer", "agent.created", "Alice")
    assert describe(written) == (CHANGED, "Writer", "agent.created", "Alice")
    workspace = harness.fake.entries[agent.gateway_key or ""]["workspace"]
    assert f'+        "workspace": "{workspace}"' in added.change.diff.splitlines()
    assert '+        "name": "Writer"' in written.change.diff.splitlines()
    for entry in (written, added):
        change = entry.change
        assert (change.agent_id, change.board_id) == (agent.id, agent.board_id)
        assert change.confirmed_at is not None
        assert change.created_at <= change.confirmed_at
        assert entry.is_readable


async def test_changes_of_a_lead_and_removals_are_logged_with_who_caused_them(
    harness: ProvisioningHarness,
) -> None:
    lead = await harness.create_online_agent("Boss", is_board_lead=True)
    async with harness.transaction() as session:
        actor = await session.get_one(Agent, lead.id)
        board = await boards.lock_board(session, actor, harness.world.garden.id)
        scribe, _token = await agents.create_agent(
            session, actor, board, AgentCreate(name="Scribe")
        )
    await harness.reconcile_until_idle()
    await harness.check_in(scribe)
    await harness.reconcile_until_idle()
    entry = (await list_changes(harness))[0]
    assert describe(entry) == (CHANGED, "Scribe", "agent.created", "Boss")

    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, scribe.id, agents.AgentUpdate.of(name="Author")
        )
    await harness.reconcile_until_idle()
    entry = (await list_changes(harness))[0]
    assert describe(entry) == (CHANGED, "Author", "agent.updated", "Alice")
    assert '-        "name": "Scribe"' in entry.change.diff.splitlines()

    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, scribe.id)
    await harness.reconcile_until_idle()
    gone = (await list_changes(harness))[0]
    assert describe(gone) == (REMOVED, "Author", "agent.status_changed", "Alice")
    assert '-        "name": "Author"' in gone.change.diff.splitlines()
    assert gone.change.confirmed_at is not None


async def test_a_later_change_that_writes_nothing_is_not_the_cause(
    harness: ProvisioningHarness,
) -> None:
    member = harness.world.alice_member
    agent = await harness.create_online_agent()
    harness.is_unreachable = True
    async with harness.transaction() as session:
        await agents.update_agent(session, member, agent.id, agents.AgentUpdate.of(name="Author"))
    await harness.update_board(name="Yard")
    async with harness.transaction() as session:
        profile = {"identity_profile": {"role": "Editor"}}
        await agents.update_agent(session, member, agent.id, agents.AgentUpdate.parse(profile))
        interval = {"heartbeat_config": {"every": "5m"}}
        await agents.update_agent(session, member, agent.id, agents.AgentUpdate.parse(interval))
        await agents.issue_token(session, member, agent.id)
    await harness.reconcile_until_idle()
    entry = (await list_changes(harness))[0]
    assert describe(entry) == (CHANGED, "Author", "agent.updated", "Alice")
    assert entry.cause is not None
    assert entry.cause.after is not None
    assert entry.cause.after["changed"] == ["name"]


async def test_a_move_of_the_board_is_the_cause_of_an_added_entry(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    await harness.update_board(gateway_id=None)
    await harness.reconcile_until_idle()
    assert describe((await list_changes(harness))[0])[2] == "board.updated"
    await harness.update_board(gateway_id=harness.gateway.id)
    await harness.update_board(name="Yard")
    await harness.reconcile_until_idle()
    found = [describe(one) for one in await list_changes(harness)]
    assert [one[:3] for one in found if one[1] == "Writer"][:2] == [
        (CHANGED, "Writer", "board.updated"),
        (ADDED, "Writer", "board.updated"),
    ]


async def test_nothing_is_logged_while_nothing_is_written(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    count = len(await list_changes(harness))
    async with harness.transaction() as session:
        await agents.update_agent(
            session,
            harness.world.alice_member,
            agent.id,
            agents.AgentUpdate.of(identity_profile={"role": "Editor"}),
        )
    await harness.reconcile_until_idle()
    assert len(await list_changes(harness)) == count


async def test_agents_of_a_deleted_board_are_logged_with_its_deletion(
    harness: ProvisioningHarness,
) -> None:
    world = harness.world
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        board = await boards.lock_board_as_admin(session, world.alice_member, world.garden.id)
        await boards.delete_board(session, world.alice, board)
    await harness.reconcile_until_idle()
    gone = (await list_changes(harness))[0]
    assert describe(gone) == (REMOVED, "Writer", "board.deleted", "Alice")
    assert gone.change.agent_key == f"mc-{agent.id}"
    assert (gone.change.agent_id, gone.change.board_id) == (agent.id, world.garden.id)
    assert gone.is_readable  # for somebody who may read all boards
    assert not (await list_changes(harness, world.dana_member))[0].is_readable


async def test_agents_on_unreadable_boards_are_not_readable(harness: ProvisioningHarness) -> None:
    await harness.create_online_agent()
    assert not any(
        one.is_readable for one in await list_changes(harness, harness.world.dana_member)
    )


@pytest.mark.parametrize("lost", ["agents.create", "config.patch"])
async def test_a_change_is_confirmed_after_its_answer_was_lost(
    harness: ProvisioningHarness, lost: str
) -> None:
    faults = [LostAfter()]
    harness.fake.fault = lambda method, _params: faults.pop() if method == lost and faults else None
    await harness.create_online_agent()
    changes = [one.change for one in await list_changes(harness)]
    assert not faults
    assert [one.kind for one in changes] == [CHANGED, ADDED]
    assert all(one.confirmed_at is not None for one in changes)


async def test_an_agent_that_is_not_listed_is_logged_as_added_once(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.listing_delay = 1_000_000
    await harness.create_agent()
    added = []
    for _ in range(30):
        more_at = await harness.reconcile_once()
        harness.moment = max(harness.moment, more_at or harness.moment)
        added.append([one.change.id for one in await list_changes(harness)])
    assert added == [added[0]] * 30
    assert len(added[0]) == 1
    assert sum(method == "config.get" for method, _params in harness.fake.calls) > 1  # was tried


async def test_a_rejected_change_is_logged_once_and_not_confirmed(
    harness: ProvisioningHarness,
) -> None:
    harness.fake.fault = lambda method, _params: (
        ErrorResponse("UNAVAILABLE", "busy") if method == "config.patch" else None
    )
    await harness.create_agent()
    for _ in range(30):
        more_at = await harness.reconcile_once()
        harness.moment = max(harness.moment, more_at or harness.moment)
    tried = [one for one in await list_changes(harness) if one.change.kind is CHANGED]
    assert [one.change.confirmed_at for one in tried] == [None]
    harness.fake.fault = lambda _method, _params: None
    await harness.reconcile_until_idle()
    newest = (await list_changes(harness))[0]
    assert newest.change.confirmed_at is not None


async def test_a_rejected_change_is_not_confirmed_when_its_agent_is_updated(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.fake.fault = lambda method, _params: (
        ErrorResponse("UNAVAILABLE", "busy") if method == "agents.update" else None
    )
    confirmed = []
    for name in ("Author", "Editor", "Writer"):  # the gateway has the last one already
        async with harness.transaction() as session:
            await agents.update_agent(
                session, harness.world.alice_member, agent.id, agents.AgentUpdate.of(name=name)
            )
        for _ in range(10):
            more_at = await harness.reconcile_once()
            harness.moment = max(harness.moment, more_at or harness.moment) + timedelta(seconds=1)
        newest = (await list_changes(harness))[0].change
        confirmed.append((parse_name(newest.diff), newest.confirmed_at))
    assert confirmed == [("Author", None), ("Editor", None), ("Editor", None)]
    assert len(await list_changes(harness)) == 3


def parse_name(diff: str) -> str:
    """Return the name that a difference adds."""
    return re.findall(r'^\+ *"name": "(.*)"', diff, re.MULTILINE)[0]


async def test_a_removal_confirms_no_other_change(harness: ProvisioningHarness) -> None:
    harness.fake.fault = lambda method, _params: (
        ErrorResponse("UNAVAILABLE", "busy") if method == "config.patch" else None
    )
    agent = await harness.create_agent()
    for _ in range(10):
        more_at = await harness.reconcile_once()
        harness.moment = max(harness.moment, more_at or harness.moment)
    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, agent.id)
    await harness.reconcile_until_idle()
    found = [
        (one.change.kind, one.change.confirmed_at is not None)
        for one in await list_changes(harness)
    ]
    assert found == [(REMOVED, True), (CHANGED, False), (ADDED, True)]


async def test_only_the_newest_changes_of_a_gateway_are_kept(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_log, "MAX_CHANGES_BY_ACTOR", 3)
    for name in ("Ada", "Bea", "Cleo"):
        await harness.create_online_agent(name)
    kept = await list_changes(harness)
    assert [(one.change.kind, one.change.agent_name) for one in kept] == [
        (CHANGED, "Cleo"),
        (ADDED, "Cleo"),
        (CHANGED, "Bea"),
    ]
    rest = await list_changes(harness, before=kept[0].change.id)
    assert [one.change.id for one in rest] == [one.change.id for one in kept[1:]]


async def test_a_text_that_cannot_be_stored_does_not_stop_provisioning(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    await harness.add_own_heartbeat(agent, {"every": "9m \0 \udcff mc_agent_abcdefgh"})
    async with harness.transaction() as session:
        board_id = harness.world.garden.id
        await session.execute(update(Board).where(Board.id == board_id).values(name="Yard"))
        await desired_state.request_sync(session, Agent.id == agent.id)
    await harness.reconcile_until_idle()
    async with harness.transaction() as session:
        query = select(GatewayConfigChange.diff).order_by(GatewayConfigChange.id.desc()).limit(1)
        diff = await session.scalar(query) or ""
    assert '-          "every": "9m ' in diff
    assert "mc_agent_abcdefgh" not in diff


def test_keys_of_other_agents_name_no_agent() -> None:
    id = "0b5f2c7e-5a1d-4f0e-9a39-6f1f1c2d3e4f"
    assert [str(one) for one in parse_agent_key(f"mc-{id}")] == [id, "None"]
    assert [str(one) for one in parse_agent_key(f"lead-{id}")] == ["None", id]
    for key in ("main", f"mc-gateway-{id}", "mc-" + "-" * 36, "lead-" + "a" * 100_000, ""):
        assert parse_agent_key(key) == (None, None)
