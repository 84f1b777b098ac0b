"""Presence of agents: calls, heartbeats, silence and agent cards."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import DateTime, literal, select, update

from core.clock import now
from core.errors import Invalid
from models import Agent, DesiredState, Event, EventType, Gateway
from services import agents, boards
from services.agents import AgentCard, AgentProblem, AgentState, StatusSource, rules
from tests.support.board_rows import make_agent, make_task
from tests.support.gateway_rows import make_gateway
from tests.support.statement_counter import count_statements

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


CONFIGS: Sequence[Any] = (
    None,
    {},
    rules.DEFAULT_HEARTBEAT,
    rules.DEFAULT_HEARTBEAT | {"quiet": False},
    {"every": " 1m1m2.5s "},
    {"every": "1h30m", "quiet": False},
    {"every": "999999999d"},
    {"every": "soon"},
    {"every": 5},
)


def list_presences(moment: datetime) -> list[dict[str, Any]]:
    """Return a sample of the combinations of what determines the status of an agent."""
    times = (None, *(moment - ago for ago in (MINUTE, 5 * MINUTE, 11 * MINUTE, 2 * HOUR, 4 * HOUR)))
    names = ("status", "last_seen_at", "listed_at", "heartbeat_config", "is_linked")
    names += ("observed_generation", "provision_failure", "desired_state")
    failure = {"step": "wake", "code": "x", "reason": "x", "command": None, "at": str(moment)}
    values: list[Sequence[Any]] = [
        ("online", "offline", "provisioning", "busy", "updating"),
        times,
        times,
        CONFIGS,
    ]
    values += [(False, True), (0, 1), (None, failure), (None, *DesiredState)]
    chosen = random.Random(7)
    rare: list[dict[str, Any]] = [
        {"status": "offline", "last_seen_at": times[1]},
        {"status": "online", "last_seen_at": times[2], "heartbeat_config": {"every": "1m"}},
    ]
    return rare + [
        dict(zip(names, [chosen.choice(column) for column in values], strict=True))
        for _ in range(300)
    ]


def find_problem(card: AgentCard) -> AgentProblem | None:
    """Return why an agent needs attention."""
    if card.evidence.source is StatusSource.FAILURE:
        return AgentProblem.FAILED
    if card.state is AgentState.AWAY:
        return AgentProblem.AWAY
    is_missed = card.state in (AgentState.LATE, AgentState.OFFLINE)
    return AgentProblem.SILENT if is_missed and card.silent_for is not None else None


def make_gateways(world, moment: datetime) -> list[Gateway]:
    """Return a gateway in each of the states that matter to its agents."""

    def make(name: str, failed: str | None = None, **fields: Any) -> Gateway:
        state = {"state": "failed", "code": "x", "since": str(moment - 2 * MINUTE)}
        well = {"name": "port", "state": "ok", "code": None, "since": str(moment)}
        checks = [well, {"name": failed, **state}] if failed else [well]
        url = f"ws://{name.replace(' ', '-')}:1"
        defaults: dict[str, Any] = {"checks": checks, "checked_at": moment - 5 * MINUTE}
        defaults |= {"lease_holder": "a worker", "lease_expires_at": moment + MINUTE}
        return make_gateway(world.tern, name, url=url, **(defaults | fields))

    nobody = {"lease_holder": None, "lease_expires_at": None}
    return [
        make("connected"),
        make("not checked", checks=None, checked_at=None),
        make("lost", "handshake"),
        make("limited", "agents"),
        make("unmonitored", **nobody),
        make("handed over", checked_at=moment - MINUTE / 2, **nobody),
    ]


async def list_status_changes(session) -> list[tuple[str, str]]:
    """Return the old and new statuses of the recorded status changes."""
    query = select(Event).where(Event.type == EventType.AGENT_STATUS_CHANGED)
    rows = await session.scalars(query.order_by(Event.seq))
    return [(row.data["from"], row.data["to"]) for row in rows]


async def set_last_call(session, agent, status, silent) -> Agent:
    """Store the status of an agent and the time since its last call, and reload it."""
    last_seen_at = now() - silent if silent is not None else None
    values = {"status": status, "last_seen_at": last_seen_at, "updated_at": now() - HOUR}
    await session.execute(update(Agent).where(Agent.id == agent.id).values(**values))
    found = select(Agent).where(Agent.id == agent.id)
    return await session.scalar(found.execution_options(populate_existing=True))


class TestCalls:
    async def test_call_shortly_after_another_executes_no_statement(self, session, world):
        agent = await set_last_call(session, world.worker, "online", MINUTE / 3)
        with count_statements(await session.connection()) as statements:
            await agents.touch_agent(session, agent)
            await session.flush()
        assert statements == []

    async def test_call_updates_last_seen_without_an_event(self, session, world):
        agent = await set_last_call(session, world.worker, "online", MINUTE)
        await agents.touch_agent(session, agent)
        assert agent.last_seen_at
        assert now() - agent.last_seen_at < MINUTE / 2
        assert agent.updated_at == agent.last_seen_at
        assert await list_status_changes(session) == []

    @pytest.mark.parametrize(
        ("stored", "silent", "after", "expected"),
        [
            ("provisioning", None, "online", [("provisioning", "online")]),
            ("online", HOUR, "online", [("offline", "online")]),
            ("offline", HOUR, "online", [("offline", "online")]),
            ("offline", MINUTE, "online", [("offline", "online")]),
            ("busy", MINUTE, "busy", []),
            ("busy", HOUR, "online", [("offline", "online")]),
            ("updating", HOUR, "updating", []),
            ("deleting", None, "deleting", []),
        ],
    )
    async def test_event_is_recorded_only_if_the_computed_status_changes(
        self, session, world, stored, silent, after, expected
    ):
        agent = await set_last_call(session, world.worker, stored, silent)
        await agents.touch_agent(session, agent)
        assert agent.status == after
        await session.refresh(agent)
        assert agent.status == after
        assert agent.last_seen_at
        assert now() - agent.last_seen_at < MINUTE
        assert await list_status_changes(session) == expected
        rows = (await session.scalars(select(Event))).all()
        assert all(row.agent_id == agent.id and row.board_id == world.board.id for row in rows)
        assert all(row.user_id is None for row in rows)

    async def test_concurrent_calls_record_one_event(
        self, isolated_transaction, isolated_world
    ) -> None:
        async with isolated_transaction() as session:
            await set_last_call(session, isolated_world.worker, "offline", HOUR)
        async with isolated_transaction() as session:
            first = await session.get_one(Agent, isolated_world.worker.id)
        async with isolated_transaction() as session:
            second = await session.get_one(Agent, isolated_world.worker.id)
            await agents.touch_agent(session, second)
        async with isolated_transaction() as session:
            await agents.touch_agent(session, first)
            assert await list_status_changes(session) == [("offline", "online")]

    async def test_call_does_not_overwrite_a_concurrent_update_status(self, session, world):
        agent = await set_last_call(session, world.worker, "online", HOUR)
        concurrent = update(Agent).where(Agent.id == agent.id).values(status="updating")
        await session.execute(concurrent.execution_options(synchronize_session=False))
        await agents.touch_agent(session, agent)
        await session.refresh(agent)
        assert agent.status == "updating"

    async def test_call_of_a_deleted_agent_is_ignored(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "online", HOUR)
        session.expunge(agent)
        await agents.delete_agent(session, world.alice, agent.id)
        await agents.touch_agent(session, agent)
        assert await list_status_changes(session) == []


class TestHeartbeats:
    async def test_first_heartbeat_sets_agent_online(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "provisioning", None)
        assert (await agents.record_heartbeat(session, agent)).status == "online"
        assert await list_status_changes(session) == [("provisioning", "online")]

    async def test_later_heartbeats_are_stored_without_events(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "busy", MINUTE)
        for _ in range(3):
            before = agent.last_seen_at
            await agents.record_heartbeat(session, agent)
            assert before
            assert agent.last_seen_at
            assert agent.last_seen_at > before
        assert agent.status == "busy"
        assert await list_status_changes(session) == []

    async def test_heartbeat_may_report_a_status(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "online", MINUTE)
        for word in (" degraded ", "degraded", "  ", None, "online"):
            await agents.record_heartbeat(session, agent, status=word)
        assert await list_status_changes(session) == [
            ("online", "degraded"),
            ("degraded", "online"),
        ]
        await session.refresh(agent)
        assert agent.status == "online"

    @pytest.mark.parametrize("word", ["deleting", " updating ", "a\nb", "nul\0", "\ud800"])
    async def test_reserved_and_invalid_statuses_are_rejected(self, session, world, word) -> None:
        """W-20."""
        agent = await set_last_call(session, world.worker, "online", MINUTE)
        with pytest.raises(Invalid) as raised:
            await agents.record_heartbeat(session, agent, status=word)
        assert raised.value.field == "status"
        await session.refresh(agent)
        assert agent.status == "online"

    async def test_heartbeat_keeps_the_updating_status(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "updating", HOUR)
        assert (await agents.record_heartbeat(session, agent)).status == "updating"
        assert await list_status_changes(session) == []

    @pytest.mark.parametrize(("word", "status"), [(None, "online"), (" busy ", "busy")])
    async def test_agent_created_by_its_heartbeat_is_online_immediately(
        self, session, world, word, status
    ) -> None:
        board = await boards.lock_board_as_admin(session, world.alice, world.board.id)
        agent, _ = await agents.create_on_first_heartbeat(
            session, world.alice, board, "Ada", status=word
        )
        await session.refresh(agent)
        assert (agent.status, agent.last_seen_at is None) == (status, False)
        recorded = await session.scalars(select(Event).order_by(Event.seq))
        assert [event.type for event in recorded] == [
            EventType.AGENT_CREATED,
            EventType.AGENT_STATUS_CHANGED,
        ]
        assert await list_status_changes(session) == [("provisioning", status)]
        with pytest.raises(Invalid):
            await agents.create_on_first_heartbeat(
                session, world.alice, board, "Eve", status="deleting"
            )


class TestSilence:
    async def test_silent_agents_are_marked_offline_once(self, session, world) -> None:
        for agent, status, silent in [
            (world.lead, "online", 11 * MINUTE),
            (world.worker, "busy", HOUR),
            (world.other_worker, "online", 9 * MINUTE),
            (world.gardener, "updating", HOUR),
            (world.charlies_worker, "online", HOUR),
        ]:
            await set_last_call(session, agent, status, silent)

        assert await agents.mark_silent_agents_offline(session) == 3
        assert await agents.mark_silent_agents_offline(session) == 0

        statuses = {agent.name: agent.status for agent in await session.scalars(select(Agent))}
        assert statuses == {
            "Lead": "offline",
            "Worker": "offline",
            "Other worker": "online",
            "Gardener": "updating",
            "Charlie's worker": "offline",
        }
        assert sorted(await list_status_changes(session)) == [
            ("busy", "offline"),
            ("online", "offline"),
            ("online", "offline"),
        ]
        rows = await session.scalars(select(Event).order_by(Event.seq))
        assert {row.organization_id for row in rows} == {world.tern.id, world.plover.id}

    async def test_offline_threshold_depends_on_the_agents_interval(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "online", 90 * MINUTE)
        agent.heartbeat_config = {"every": "1h"}
        assert await agents.mark_silent_agents_offline(session) == 0
        agent.heartbeat_config = {"every": "30m"}
        assert await agents.mark_silent_agents_offline(session) == 1

    async def test_offline_setting_is_the_minimum_threshold(self, session, world) -> None:
        agent = await set_last_call(session, world.worker, "online", 3 * MINUTE)
        agent.heartbeat_config = {"every": "30s"}
        assert await agents.mark_silent_agents_offline(session, offline_after=4 * MINUTE) == 0
        assert await agents.mark_silent_agents_offline(session, offline_after=2 * MINUTE) == 1

    async def test_agent_that_calls_concurrently_is_not_marked_offline(
        self, isolated_transaction, isolated_world
    ) -> None:
        async with isolated_transaction() as session:
            await set_last_call(session, isolated_world.worker, "online", HOUR)
        async with isolated_transaction() as calling, isolated_transaction() as checking:
            agent = await calling.get_one(Agent, isolated_world.worker.id)
            await agents.touch_agent(calling, agent)
            async with asyncio.timeout(5):
                assert await agents.mark_silent_agents_offline(checking) == 0
        async with isolated_transaction() as session:
            assert await agents.mark_silent_agents_offline(session) == 0
            assert (await session.get_one(Agent, agent.id)).status == "online"


class TestCards:
    async def test_agent_cards_are_listed_by_board_with_current_task(self, session, world) -> None:
        for agent in (world.lead, world.other_worker, world.gardener):
            await set_last_call(session, agent, "online", MINUTE)
        await set_last_call(session, world.worker, "online", HOUR)
        started = now() - HOUR
        work = world.make_task(
            "Write", status="in_progress", assigned_agent_id=world.other_worker.id
        )
        later = world.make_task(
            "Later", status="in_progress", assigned_agent_id=world.other_worker.id
        )
        work.in_progress_at, later.in_progress_at = started, started + MINUTE
        waiting = make_task(world.garden, "Waits", assigned_agent_id=world.gardener.id)
        session.add_all([work, later, waiting])
        await session.flush()

        cards = await agents.list_agent_cards(session, world.alice_member)

        shown = [
            (one.board_name, one.agent.name, one.state, one.task.title if one.task else None)
            for one in cards
        ]
        assert shown == [
            ("Garden", "Gardener", AgentState.IDLE, None),
            ("Launch", "Lead", AgentState.IDLE, None),
            ("Launch", "Other worker", AgentState.WORKING, "Write"),
            ("Launch", "Worker", AgentState.OFFLINE, None),
        ]
        assert cards[3].heartbeat_interval == 10 * MINUTE
        assert cards[3].silent_for
        assert cards[3].silent_for > HOUR
        assert {
            one.board_name for one in await agents.list_agent_cards(session, world.bob_member)
        } == {"Launch"}
        assert await agents.list_agent_cards(session, world.dana_member) == []
        assert [
            one.agent.name for one in await agents.list_agent_cards(session, world.charlie_member)
        ] == ["Charlie's worker"]

    @pytest.mark.parametrize(
        ("called_ago", "state"),
        [(MINUTE, AgentState.AWAY), (timedelta(), AgentState.IDLE), (None, AgentState.AWAY)],
    )
    async def test_agent_of_broken_gateway_is_present_only_after_a_recent_call(
        self, session, world, called_ago, state
    ) -> None:
        moment = now()
        broken = {"name": "port", "state": "failed", "since": str(moment - MINUTE / 2)}
        gateway = make_gateway(world.tern, checks=[broken], checked_at=moment)
        session.add(gateway)
        await session.flush()
        await set_last_call(session, world.worker, "online", called_ago)
        worker = await session.get_one(Agent, world.worker.id)
        worker.gateway_id, worker.listed_at = gateway.id, moment - MINUTE
        await session.flush()

        card = await agents.get_agent_card(session, world.alice_member, world.worker.id)

        assert card.state is state

    async def test_agents_of_broken_gateway_are_not_counted_as_online(self, session, world) -> None:
        async def online() -> int:
            counts = await agents.count_online_agents(session, [world.board, world.garden])
            return sum(counts.values())

        gateway = make_gateway(world.tern, checks=[{"name": "port", "state": "ok"}])
        session.add(gateway)
        await session.flush()
        worker = await set_last_call(session, world.worker, "provisioning", None)
        worker.gateway_id, worker.is_linked, worker.listed_at = gateway.id, True, now()
        await session.flush()
        before = await online()
        gateway.checks = [{"name": "port", "state": "failed", "since": str(now())}]
        await session.flush()
        assert await online() == before - 1

    async def test_counts_and_statuses_of_agents_agree(self, session, world) -> None:
        moment = now()
        for gateway in (None, *make_gateways(world, moment)):
            session.add_all([gateway] if gateway else [])
            await session.flush()
            found = [
                make_agent("One", world.board, gateway_id=gateway and gateway.id, **fields)
                for fields in list_presences(moment)
            ]
            session.add_all(found)
            await session.flush()
            for minimum in (MINUTE / 2, 10 * MINUTE, 5 * HOUR):
                at, after = literal(moment, DateTime(timezone=True)), literal(minimum)
                online = select(Agent.id).where(rules.online_condition(at, after))
                counted = set(await session.scalars(online))
                for agent in found:
                    status = agents.compute_status(agent, gateway, moment, minimum)
                    assert (status in ("online", "busy")) == (agent.id in counted)

    async def test_problems_that_are_counted_are_those_of_the_cards(self, session, world) -> None:
        """The database counts by the rules by which pages compute the state of each agent."""
        moment = now()
        for gateway in (None, *make_gateways(world, moment)):
            session.add_all([gateway] if gateway else [])
            await session.flush()
            for fields in list_presences(moment):
                session.add(
                    make_agent("One", world.board, gateway_id=gateway and gateway.id, **fields)
                )
            await session.flush()
        for minimum in (MINUTE / 2, 10 * MINUTE, 5 * HOUR):
            member = world.alice_member
            cards = await agents.list_agent_cards(session, member, offline_after=minimum)
            expected = Counter(filter(None, map(find_problem, cards)))
            counted = await agents.count_agent_problems(session, member, offline_after=minimum)
            assert {problem: found.count for problem, found in counted.items()} == expected
            assert set(expected) == set(AgentProblem)

    async def test_card_shows_the_role_from_the_profile(self, session, world) -> None:
        card = await agents.get_agent_card(session, world.rita_member, world.worker.id)
        assert card.agent.role is None
        card.agent.identity_profile = {"role": " Writer "}
        assert card.agent.role == "Writer"
