"""Agents: creation, tokens, changes, and who may see them."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from cli import doctor
from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from core.paging import Paging
from core.security.secrets import hash_token
from models import Agent, AgentToken, Board, DesiredState, EventType, Status
from services import agents
from services.agents import AgentCreate, AgentUpdate
from services.agents.commands import build_changed_values
from tests.support.agent_helpers import create_agent, list_agent_names, list_events
from tests.support.board_rows import make_agent
from tests.support.credentials import authenticate_agent
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.people_rows import make_board_access, token_secret

ALL = Paging()


class TestFields:
    @pytest.mark.parametrize("name", ["", "  ", None, 5, "x" * 101, "two\nlines", "nul\0"])
    def test_a_name_is_one_line_of_at_most_100_characters(self, name) -> None:
        with pytest.raises(Invalid) as rejected:
            AgentCreate.parse({"name": name})
        assert rejected.value.field == "name"

    def test_profile_values_become_text_and_empty_ones_are_left_out(self) -> None:
        expected = {
            "role": " Writer ",
            "skills": ["Prose", " ", "Verse", 7],
            "years": 12,
            "boss": None,
            "emoji": "",
            " ": "nameless",
        }
        assert AgentCreate(name="Ada", identity_profile=expected).identity_profile == {
            "role": "Writer",
            "skills": "Prose, Verse, 7",
            "years": "12",
        }
        for empty in ({"a": []}, None):
            assert AgentCreate(name="Ada", identity_profile=empty).identity_profile is None

    def test_a_profile_has_at_most_64_kilobytes(self) -> None:
        with pytest.raises(Invalid) as rejected:
            AgentCreate.parse({"name": "Ada", "identity_profile": {"role": "x" * 65_536}})
        assert (rejected.value.code, rejected.value.field) == ("not_storable", "identity_profile")

    @pytest.mark.parametrize("every", ["banana", 10, "10", ""])
    def test_a_heartbeat_interval_is_a_duration(self, every) -> None:
        """W-54."""
        with pytest.raises(Invalid) as rejected:
            AgentCreate.parse({"name": "Ada", "heartbeat_config": {"every": every}})
        assert rejected.value.field == "heartbeat_config"

    def test_the_default_heartbeat_interval_is_ten_minutes(self) -> None:
        usual = {"every": "10m", "target": "last", "includeReasoning": False}
        board = Board(id=uuid4(), organization_id=uuid4())
        assert agents.build_agent(board, AgentCreate(name="Ada")).heartbeat_config == usual
        reset = build_changed_values(Agent(), AgentUpdate.of(heartbeat_config=None))
        assert reset == {"heartbeat_config": usual}
        chosen = AgentCreate(name="Ada", heartbeat_config={"target": "x"})
        assert chosen.heartbeat_config == {"target": "x"}

    def test_a_blank_template_becomes_none(self) -> None:
        assert AgentCreate(name="Ada", soul_template=" \n").soul_template is None
        assert AgentCreate(name="Ada", soul_template=" Be kind. ").soul_template == "Be kind."


class TestCreating:
    async def test_an_admin_creates_an_agent_and_sees_its_token_once(self, session, world) -> None:
        agent, token = await create_agent(
            session, world.alice, world.board, " Ada ", identity_profile={"role": "Writer"}
        )
        assert (agent.name, agent.status, agent.board_id) == ("Ada", "provisioning", world.board.id)
        assert (agent.last_seen_at, agent.is_board_lead) == (None, False)
        assert agent.heartbeat_config["every"] == "10m"
        [stored] = await session.scalars(select(AgentToken).where(AgentToken.agent_id == agent.id))
        assert stored.secret_hash == hash_token(token)
        assert token.startswith(stored.prefix)
        assert token not in vars(stored).values()
        known = await authenticate_agent(session, token)
        assert known
        assert known.id == agent.id
        [event] = await list_events(session)
        assert (event.type, event.agent_id, event.user_id) == (
            EventType.AGENT_CREATED,
            agent.id,
            world.alice.id,
        )
        assert event.data["name"] == "Ada"
        assert token not in str(event.data)

    async def test_only_admins_and_the_lead_create_agents(self, session, world) -> None:
        for actor in (world.bob, world.worker):
            with pytest.raises(Forbidden):
                await create_agent(session, actor, world.board)
        for actor in (world.rita, world.gardener):
            with pytest.raises(Forbidden):
                await create_agent(session, actor, world.board)
        for actor in (world.charlie, world.charlies_worker):
            with pytest.raises(NotFound):
                await create_agent(session, actor, world.board)
        assert await list_events(session) == []

    async def test_a_lead_creates_at_most_max_agents_workers(self, session, world) -> None:
        world.board.max_agents = 3
        session.add(world.board)
        agent, _ = await create_agent(session, world.lead, world.board, "Third")
        assert (await list_events(session))[-1].agent_id == agent.id
        with pytest.raises(Conflict) as rejected:
            await create_agent(session, world.lead, world.board, "Fourth")
        assert rejected.value.code == "max_agents_reached"
        assert rejected.value.details == {"max_agents": 3}
        await create_agent(session, world.alice, world.board, "Fourth")

    async def test_agent_names_are_unique_on_a_board_ignoring_case(self, session, world):
        """W-47."""
        for name in ("Worker", "wORKER", " worker "):
            with pytest.raises(Conflict) as rejected:
                await create_agent(session, world.alice, world.board, name)
            assert rejected.value.field == "name"
        await create_agent(session, world.alice, world.garden, "Worker")
        await create_agent(session, world.alice, world.board, "W%rker")

    async def test_a_board_has_one_lead_chosen_by_an_admin(self, session, world) -> None:
        """C35."""
        with pytest.raises(Conflict) as rejected:
            await create_agent(session, world.alice, world.board, is_board_lead=True)
        assert rejected.value.code == "board_lead_exists"
        with pytest.raises(Forbidden):
            await create_agent(session, world.lead, world.board, is_board_lead=True)
        lead, _ = await create_agent(session, world.alice, world.garden, is_board_lead=True)
        assert lead.is_board_lead
        assert await list_agent_names(session, world.garden) == ["New", "Gardener"]

    async def test_concurrent_creations_do_not_exceed_the_limit(
        self, isolated_transaction, isolated_world
    ) -> None:
        """R5, W-50."""

        async def one(name):
            try:
                async with isolated_transaction() as session:
                    await create_agent(session, isolated_world.lead, isolated_world.board, name)
            except Conflict as error:
                return error.code
            return None

        async with isolated_transaction() as session:
            (await session.merge(isolated_world.board)).max_agents = 4
        codes = await asyncio.gather(*[one(f"Worker {n}") for n in range(6)])
        assert sorted(codes, key=str) == [None, None, *["max_agents_reached"] * 4]

    async def test_concurrent_creations_with_one_name_succeed_once(
        self, isolated_transaction, isolated_world
    ) -> None:
        """W-50."""

        async def one():
            try:
                async with isolated_transaction() as session:
                    await create_agent(session, isolated_world.alice, isolated_world.board, "Twin")
            except Conflict as error:
                return error.code
            return None

        codes = await asyncio.gather(*[one() for _ in range(5)])
        assert sorted(codes, key=str) == [None, *["agent_name_taken"] * 4]


async def test_the_database_enforces_one_lead_and_one_gateway_agent(session, world) -> None:
    """W-48. C35, W-50: whatever way they come."""
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    session.add_all(make_main_agent(gateway))
    await session.flush()
    twins = [
        make_agent("Twin", world.board, is_board_lead=True),
        make_main_agent(gateway, "Twin")[0],
    ]
    for twin, index in zip(twins, ("one_lead_per_board", "one_main_per_gateway"), strict=True):
        with pytest.raises(IntegrityError, match=index):
            async with session.begin_nested():
                session.add(twin)


class TestTokens:
    async def test_an_old_token_is_valid_until_the_new_one_is_used(self, session, world):
        _, new = await agents.issue_token(session, world.alice_member, world.worker.id)
        assert new is not None
        assert (await authenticate_agent(session, token_secret(world.worker))) is not None
        known = await authenticate_agent(session, new)
        assert known
        assert known.id == world.worker.id
        with pytest.raises(Unauthorized, match="ended or replaced"):
            await authenticate_agent(session, token_secret(world.worker))
        [event] = await list_events(session)
        assert (event.type, event.agent_id) == (EventType.AGENT_TOKEN_ISSUED, world.worker.id)
        assert new not in str(event.data)

    @pytest.mark.parametrize("desired_state", [None, DesiredState.RUNNING])
    async def test_an_old_token_can_end_at_once(self, session, world, desired_state):
        """Also that of an agent on a gateway, which gets the new one in its files."""
        on_gateway = update(Agent).where(Agent.id == world.worker.id)
        await session.execute(on_gateway.values(desired_state=desired_state))
        _, new = await agents.issue_token(
            session, world.alice_member, world.worker.id, ends_old=True
        )
        assert (new is None) is (desired_state is not None)
        with pytest.raises(Unauthorized, match="ended or replaced"):
            await authenticate_agent(session, token_secret(world.worker))

    async def test_the_doctor_lists_tokens_that_end_soon(
        self, isolated_settings, isolated_transaction, isolated_world
    ):
        async def describe() -> str:
            connection = await asyncpg.connect(isolated_settings.dsn)
            try:
                return await doctor._describe_ending_tokens(connection)
            finally:
                await connection.close()

        assert await describe() == ""
        ends = {"worker": timedelta(days=6), "lead": timedelta(days=-1), "gardener": timedelta(8)}
        async with isolated_transaction() as session:
            for name, until in ends.items():
                mine = update(Agent).where(Agent.id == getattr(isolated_world, name).id)
                await session.execute(mine.values(token_expires_at=now() + until))
        lines = (await describe()).splitlines()[1:]
        assert [line.split()[5:7] for line in lines] == [["'Lead'", "ended"], ["'Worker'", "ends"]]

    async def test_only_those_who_may_change_an_agent_issue_its_token(self, session, world) -> None:
        for member, error in [
            (world.bob_member, Forbidden),
            (world.dana_member, Forbidden),
            (world.charlie_member, NotFound),
        ]:
            with pytest.raises(error):
                await agents.issue_token(session, member, world.worker.id)
        with pytest.raises(NotFound):
            await agents.issue_token(session, world.alice_member, uuid4())


class TestChanging:
    async def change(self, session, world, agent, **changes):
        return await agents.update_agent(
            session, world.alice_member, agent.id, AgentUpdate.parse(changes)
        )

    async def test_only_the_given_fields_are_changed(self, session, world) -> None:
        agent = await self.change(session, world, world.worker, name=" Ada ", soul_template="Be.")
        assert (agent.name, agent.soul_template) == ("Ada", "Be.")
        agent = await self.change(session, world, agent, identity_profile={"role": "Editor"})
        assert agent.identity_profile == {"role": "Editor"}
        agent = await self.change(session, world, agent, identity_profile=None)
        assert (agent.identity_profile, agent.name) == (None, "Ada")
        reported = [(event.type, event.data["changed"]) for event in await list_events(session)]
        assert reported == [
            (EventType.AGENT_UPDATED, ["name", "soul_template"]),
            (EventType.AGENT_UPDATED, ["identity_profile"]),
            (EventType.AGENT_UPDATED, ["identity_profile"]),
        ]

    async def test_an_update_without_changes_records_no_event(self, session, world) -> None:
        for changes in ({}, {"name": "Worker"}, {"is_gateway_main": False}, {"unknown": 1}):
            await agents.update_agent(
                session, world.alice_member, world.worker.id, AgentUpdate.parse(changes)
            )
        await self.change(session, world, world.worker, board_id=world.board.id)
        assert await list_events(session) == []

    @pytest.mark.parametrize(
        ("changes", "error", "field"),
        [
            ({"status": "online"}, Forbidden, None),
            ({"status": None}, Forbidden, None),
            ({"is_gateway_main": True}, Invalid, "is_gateway_main"),
            ({"board_id": None}, Invalid, "board_id"),
            ({"name": None}, Invalid, "name"),
            ({"name": "lead"}, Conflict, "name"),
            ({"identity_profile": "a text"}, Invalid, "identity_profile"),
        ],
    )
    async def test_invalid_changes_are_rejected_without_effect(
        self, session, world, changes, error, field
    ) -> None:
        with pytest.raises(error) as rejected:
            await self.change(session, world, world.worker, **changes)
        assert rejected.value.field == field
        assert await list_events(session) == []

    async def test_an_agent_may_change_the_case_of_its_name(self, session, world):
        assert (await self.change(session, world, world.worker, name="WORKER")).name == "WORKER"

    async def test_a_moved_agent_is_unassigned_and_no_longer_a_lead(self, session, world):
        """W-48."""
        tasks = {
            status: world.make_task(status, status=status, assigned_agent_id=world.lead.id)
            for status in Status
        }
        session.add_all(tasks.values())
        await session.flush()

        agent = await self.change(session, world, world.lead, board_id=world.garden.id)

        assert (agent.board_id, agent.is_board_lead) == (world.garden.id, False)
        assert tasks[Status.IN_PROGRESS].status is Status.INBOX
        locked = {status: task.assigned_agent_id for status, task in tasks.items()}
        assert locked == dict.fromkeys(Status) | {Status.DONE: agent.id}
        last = (await list_events(session))[-1]
        assert (last.type, last.board_id) == (EventType.AGENT_UPDATED, world.garden.id)
        assert last.data["changed"] == ["board_id", "is_board_lead"]

    async def test_an_agent_moves_only_to_a_writable_board_with_its_name_free(
        self, session, world
    ) -> None:
        await create_agent(session, world.alice, world.garden, "worker")
        for board, error in [(world.garden, Conflict), (world.charlies_board, NotFound)]:
            with pytest.raises(error):
                await self.change(session, world, world.worker, board_id=board.id)
        session.add(
            make_board_access(await session.merge(world.dana_member), world.board, can_write=True)
        )
        await session.flush()
        with pytest.raises(Forbidden):
            await agents.update_agent(
                session,
                world.dana_member,
                world.worker.id,
                AgentUpdate.of(board_id=world.garden.id),
            )

    async def test_members_and_other_organizations_change_no_agent(self, session, world) -> None:
        for member, error in [
            (world.bob_member, Forbidden),
            (world.dana_member, Forbidden),
            (world.charlie_member, NotFound),
        ]:
            with pytest.raises(error):
                await agents.update_agent(
                    session, member, world.worker.id, AgentUpdate.of(name="Mine")
                )
        assert await list_agent_names(session, world.board) == ["Lead", "Other worker", "Worker"]
