"""Whether agents are there: what a call tells, and what silence tells."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from kit.clock import now
from kit.errors import Invalid
from models import Agent, Event, EventType
from services import agents, boards
from services.agents import State, rules
from tests.world import a_gateway, a_task

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("10m", 10 * MINUTE),
        ("30s", MINUTE / 2),
        ("1h", HOUR),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("500ms", timedelta(seconds=0.5)),
        (" 2d ", 48 * HOUR),
        ("0m", timedelta()),
        ("999999999d", timedelta(days=7)),
        ("banana", None),
        ("", None),
        ("10", None),
        ("10 m", None),
        ("-5m", None),
        ("5m!", None),
    ],
)
def test_how_often_is_read_as_people_write_it(text, length) -> None:
    assert rules.duration(text) == length


@given(st.text())
def test_nothing_that_anybody_writes_is_too_much_for_it(text) -> None:
    length = rules.duration(text)
    assert length is None or timedelta() <= length <= timedelta(days=7)


@pytest.mark.parametrize(
    ("config", "cadence", "offline_after"),
    [
        (None, 10 * MINUTE, 20 * MINUTE),
        ({}, 10 * MINUTE, 20 * MINUTE),
        ({"every": "banana"}, 10 * MINUTE, 20 * MINUTE),
        ({"every": 5}, 10 * MINUTE, 20 * MINUTE),
        ({"every": "1m"}, MINUTE, 10 * MINUTE),
        ({"every": "1h"}, HOUR, 2 * HOUR),
        ({"every": "0m"}, None, 10 * MINUTE),
    ],
)
def test_an_agent_is_offline_after_two_beats_and_ten_minutes_at_least(
    config, cadence, offline_after
) -> None:
    agent = Agent(heartbeat_config=config)
    assert agents.cadence(agent) == cadence
    assert agents.offline_after(agent) == offline_after


@pytest.mark.parametrize(
    ("stored", "silent", "status"),
    [
        ("provisioning", None, "provisioning"),
        ("online", None, "provisioning"),
        ("online", MINUTE, "online"),
        ("degraded", MINUTE, "degraded"),
        ("online", 20 * MINUTE, "online"),
        ("online", 21 * MINUTE, "offline"),
        ("degraded", 21 * MINUTE, "offline"),
        ("offline", MINUTE, "offline"),
        ("updating", 21 * MINUTE, "updating"),
        ("deleting", None, "deleting"),
    ],
)
def test_what_is_true_of_an_agent_follows_from_its_word_and_its_silence(
    stored, silent, status
) -> None:
    """A27.9."""
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    assert agents.status(agent, moment) == status


@pytest.mark.parametrize(
    ("stored", "silent", "working", "state"),
    [
        ("online", MINUTE, True, State.WORKING),
        ("online", MINUTE, False, State.IDLE),
        ("busy", MINUTE, False, State.IDLE),
        ("online", 10.4 * MINUTE, True, State.WORKING),
        ("online", 11 * MINUTE, True, State.LATE),
        ("online", 21 * MINUTE, True, State.OFFLINE),
        ("offline", MINUTE, True, State.OFFLINE),
        ("online", None, False, State.PROVISIONING),
        ("updating", MINUTE, True, State.PROVISIONING),
        ("deleting", MINUTE, True, State.OFFLINE),
    ],
)
def test_people_see_who_works_who_is_late_and_who_is_away(stored, silent, working, state) -> None:
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    assert rules.state(agent, moment, working=working) is state


@pytest.mark.parametrize(
    ("stored", "silent", "state"),
    [
        ("online", MINUTE, State.WORKING),
        ("online", 11 * MINUTE, State.WORKING),
        ("online", HOUR, State.WORKING),
        ("online", None, State.PROVISIONING),
        ("updating", MINUTE, State.PROVISIONING),
        ("deleting", MINUTE, State.OFFLINE),
    ],
)
def test_while_its_gateway_tells_of_a_run_an_agent_is_at_work(stored, silent, state) -> None:
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    assert rules.state(agent, moment, working=False, running=True) is state


def test_an_agent_that_does_not_mean_to_check_in_is_never_late() -> None:
    moment = now()
    agent = Agent(status="online", last_seen_at=moment - 9 * MINUTE)
    agent.heartbeat_config = {"every": "0m"}
    assert rules.state(agent, moment, working=False) is State.IDLE
    agent.heartbeat_config = {"every": "5m"}
    assert rules.state(agent, moment, working=False) is State.LATE


async def changes(session) -> list[tuple[str, str]]:
    """Return from what to what computed statuses changed, as it is written down."""
    told = select(Event).where(Event.type == EventType.AGENT_STATUS_CHANGED)
    rows = await session.scalars(told.order_by(Event.seq))
    return [(row.data["from"], row.data["to"]) for row in rows]


async def standing(session, agent, status, silent) -> Agent:
    """Let an agent stand so in the database, and return it as it is found there."""
    seen = now() - silent if silent is not None else None
    values = {"status": status, "last_seen_at": seen, "updated_at": now() - HOUR}
    await session.execute(update(Agent).where(Agent.id == agent.id).values(**values))
    found = select(Agent).where(Agent.id == agent.id)
    return await session.scalar(found.execution_options(populate_existing=True))


class TestACall:
    async def test_an_agent_that_was_seen_a_moment_ago_costs_no_statement(self, session, world):
        agent = await standing(session, world.worker, "online", MINUTE / 3)
        connection = await session.connection()
        statements = []
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda *call: statements.append(call[2]),
        )
        await agents.touch(session, agent)
        await session.flush()
        assert statements == []

    async def test_one_that_was_seen_before_is_noted_and_nothing_is_told(self, session, world):
        agent = await standing(session, world.worker, "online", MINUTE)
        await agents.touch(session, agent)
        assert agent.last_seen_at
        assert now() - agent.last_seen_at < MINUTE / 2
        assert agent.updated_at == agent.last_seen_at
        assert await changes(session) == []

    @pytest.mark.parametrize(
        ("stored", "silent", "after", "told"),
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
    async def test_it_tells_only_when_what_is_true_of_the_agent_changes(
        self, session, world, stored, silent, after, told
    ):
        agent = await standing(session, world.worker, stored, silent)
        await agents.touch(session, agent)
        assert agent.status == after
        await session.refresh(agent)
        assert agent.status == after
        assert agent.last_seen_at
        assert now() - agent.last_seen_at < MINUTE
        assert await changes(session) == told
        rows = (await session.scalars(select(Event))).all()
        assert all(row.agent_id == agent.id and row.board_id == world.board.id for row in rows)
        assert all(row.user_id is None for row in rows)

    async def test_two_calls_at_once_tell_it_once(self, real_transaction, real_world) -> None:
        async with real_transaction() as session:
            await standing(session, real_world.worker, "offline", HOUR)
        async with real_transaction() as session:
            mine = await session.get_one(Agent, real_world.worker.id)
        async with real_transaction() as session:
            yours = await session.get_one(Agent, real_world.worker.id)
            await agents.touch(session, yours)
        async with real_transaction() as session:
            await agents.touch(session, mine)
            assert await changes(session) == [("offline", "online")]

    async def test_who_began_to_update_an_agent_meanwhile_is_not_overruled(self, session, world):
        agent = await standing(session, world.worker, "online", HOUR)
        behind_its_back = update(Agent).where(Agent.id == agent.id).values(status="updating")
        await session.execute(behind_its_back.execution_options(synchronize_session=False))
        await agents.touch(session, agent)
        await session.refresh(agent)
        assert agent.status == "updating"

    async def test_an_agent_that_is_gone_by_then_is_no_trouble(self, session, world) -> None:
        agent = await standing(session, world.worker, "online", HOUR)
        session.expunge(agent)
        await agents.delete(session, world.alice, agent.id)
        await agents.touch(session, agent)
        assert await changes(session) == []


class TestAHeartbeat:
    async def test_the_first_one_brings_an_agent_online(self, session, world) -> None:
        agent = await standing(session, world.worker, "provisioning", None)
        assert (await agents.heartbeat(session, agent)).status == "online"
        assert await changes(session) == [("provisioning", "online")]

    async def test_the_next_ones_are_noted_and_not_told(self, session, world) -> None:
        agent = await standing(session, world.worker, "busy", MINUTE)
        for _ in range(3):
            before = agent.last_seen_at
            await agents.heartbeat(session, agent)
            assert before
            assert agent.last_seen_at
            assert agent.last_seen_at > before
        assert agent.status == "busy"
        assert await changes(session) == []

    async def test_an_agent_may_say_how_it_is(self, session, world) -> None:
        agent = await standing(session, world.worker, "online", MINUTE)
        for word in (" degraded ", "degraded", "  ", None, "online"):
            await agents.heartbeat(session, agent, status=word)
        assert await changes(session) == [("online", "degraded"), ("degraded", "online")]
        await session.refresh(agent)
        assert agent.status == "online"

    @pytest.mark.parametrize(
        "word", ["deleting", " updating ", "x" * 41, "a\nb", "nul\0", "\ud800"]
    )
    async def test_some_words_are_not_for_agents(self, session, world, word) -> None:
        """W-20."""
        agent = await standing(session, world.worker, "online", MINUTE)
        with pytest.raises(Invalid) as refused:
            await agents.heartbeat(session, agent, status=word)
        assert refused.value.field == "status"
        await session.refresh(agent)
        assert agent.status == "online"

    async def test_who_is_being_updated_stays_so(self, session, world) -> None:
        agent = await standing(session, world.worker, "updating", HOUR)
        assert (await agents.heartbeat(session, agent)).status == "updating"
        assert await changes(session) == []

    @pytest.mark.parametrize(("word", "status"), [(None, "online"), (" busy ", "busy")])
    async def test_who_checks_in_before_being_made_is_there_from_the_first(
        self, session, world, word, status
    ) -> None:
        board = await boards.hold_as_admin(session, world.alice, world.board.id)
        agent, _ = await agents.arrive(session, world.alice, board, "Ada", status=word)
        await session.refresh(agent)
        assert (agent.status, agent.last_seen_at is None) == (status, False)
        told = await session.scalars(select(Event).order_by(Event.seq))
        assert [event.type for event in told] == [
            EventType.AGENT_CREATED,
            EventType.AGENT_STATUS_CHANGED,
        ]
        assert await changes(session) == [("provisioning", status)]
        with pytest.raises(Invalid):
            await agents.arrive(session, world.alice, board, "Eve", status="deleting")


class TestSilence:
    async def test_who_is_silent_for_too_long_is_written_down_as_offline_once(
        self, session, world
    ) -> None:
        for agent, status, silent in [
            (world.lead, "online", 21 * MINUTE),
            (world.worker, "busy", HOUR),
            (world.other_worker, "online", 19 * MINUTE),
            (world.gardener, "updating", HOUR),
            (world.charlies_worker, "online", HOUR),
        ]:
            await standing(session, agent, status, silent)

        assert await agents.mark_offline(session) == 3
        assert await agents.mark_offline(session) == 0

        stands = {agent.name: agent.status for agent in await session.scalars(select(Agent))}
        assert stands == {
            "Lead": "offline",
            "Worker": "offline",
            "Other worker": "online",
            "Gardener": "updating",
            "Charlie's worker": "offline",
        }
        assert sorted(await changes(session)) == [
            ("busy", "offline"),
            ("online", "offline"),
            ("online", "offline"),
        ]
        rows = await session.scalars(select(Event).order_by(Event.seq))
        assert {row.organization_id for row in rows} == {world.tern.id, world.plover.id}

    async def test_each_agent_is_given_two_of_its_own_beats(self, session, world) -> None:
        agent = await standing(session, world.worker, "online", 90 * MINUTE)
        agent.heartbeat_config = {"every": "1h"}
        assert await agents.mark_offline(session) == 0
        agent.heartbeat_config = {"every": "30m"}
        assert await agents.mark_offline(session) == 1

    async def test_the_setting_is_the_least_that_is_waited(self, session, world) -> None:
        agent = await standing(session, world.worker, "online", 3 * MINUTE)
        agent.heartbeat_config = {"every": "30s"}
        assert await agents.mark_offline(session, offline_after=4 * MINUTE) == 0
        assert await agents.mark_offline(session, offline_after=2 * MINUTE) == 1

    async def test_who_calls_at_that_moment_is_left_alone(
        self, real_transaction, real_world
    ) -> None:
        async with real_transaction() as session:
            await standing(session, real_world.worker, "online", HOUR)
        async with real_transaction() as calling, real_transaction() as looking:
            agent = await calling.get_one(Agent, real_world.worker.id)
            await agents.touch(calling, agent)
            async with asyncio.timeout(5):
                assert await agents.mark_offline(looking) == 0
        async with real_transaction() as session:
            assert await agents.mark_offline(session) == 0
            assert (await session.get_one(Agent, agent.id)).status == "online"


class TestCards:
    async def test_people_see_agents_by_board_with_what_they_work_on(self, session, world) -> None:
        for agent in (world.lead, world.other_worker, world.gardener):
            await standing(session, agent, "online", MINUTE)
        await standing(session, world.worker, "online", HOUR)
        begun = now() - HOUR
        work = world.task("Write", status="in_progress", assigned_agent_id=world.other_worker.id)
        later = world.task("Later", status="in_progress", assigned_agent_id=world.other_worker.id)
        work.in_progress_at, later.in_progress_at = begun, begun + MINUTE
        waits = a_task(world.garden, "Waits", assigned_agent_id=world.gardener.id)
        session.add_all([work, later, waits])
        await session.flush()

        cards = await agents.cards(session, world.alices)

        seen = [
            (one.board_name, one.agent.name, one.state, one.task.title if one.task else None)
            for one in cards
        ]
        assert seen == [
            ("Garden", "Gardener", State.IDLE, None),
            ("Launch", "Lead", State.IDLE, None),
            ("Launch", "Other worker", State.WORKING, "Write"),
            ("Launch", "Worker", State.OFFLINE, None),
        ]
        assert cards[3].cadence == 10 * MINUTE
        assert cards[3].silent_for
        assert cards[3].silent_for > HOUR
        assert {one.board_name for one in await agents.cards(session, world.bobs)} == {"Launch"}
        assert await agents.cards(session, world.danas) == []
        assert [one.agent.name for one in await agents.cards(session, world.charlies)] == [
            "Charlie's worker"
        ]

    @pytest.mark.parametrize(
        ("called_ago", "state"),
        [(MINUTE, State.AWAY), (timedelta(), State.IDLE), (None, State.AWAY)],
    )
    async def test_while_its_gateway_is_away_only_a_call_tells_that_an_agent_is_there(
        self, session, world, called_ago, state
    ) -> None:
        moment = now()
        broken = {"name": "port", "state": "failed", "since": str(moment - MINUTE / 2)}
        gateway = a_gateway(world.tern, checks=[broken], checked_at=moment)
        session.add(gateway)
        await session.flush()
        await standing(session, world.worker, "online", called_ago)
        worker = await session.get_one(Agent, world.worker.id)
        worker.gateway_id, worker.listed_at = gateway.id, moment - MINUTE
        await session.flush()

        card = await agents.card(session, world.alices, world.worker.id)

        assert card.state is state

    async def test_a_gateway_that_is_away_takes_its_agents_from_those_who_are_online(
        self, session, world
    ) -> None:
        async def online() -> int:
            boards_seen = await boards.summaries(session, world.alices)
            return sum(one.agents_online for one in boards_seen)

        gateway = a_gateway(world.tern, checks=[{"name": "port", "state": "ok"}])
        session.add(gateway)
        await session.flush()
        worker = await standing(session, world.worker, "provisioning", None)
        worker.gateway_id, worker.is_linked, worker.listed_at = gateway.id, True, now()
        await session.flush()
        before = await online()
        gateway.checks = [{"name": "port", "state": "failed"}]
        await session.flush()
        assert await online() == before - 1

    async def test_a_card_tells_what_the_agent_says_that_it_is(self, session, world) -> None:
        card = await agents.card(session, world.ritas, world.worker.id)
        assert card.role is None
        card.agent.identity_profile = {"role": " Writer "}
        assert card.role == "Writer"
