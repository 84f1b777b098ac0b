"""Agents come and change, and are found by who may see them."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from kit.errors import Conflict, Forbidden, Invalid, NotFound
from kit.paging import Paging
from kit.secrets import fingerprint
from models import AgentToken, EventType, Status
from services import agents, identity
from services.agents.fields import CHECKS
from tests.services.crew import create, events, names
from tests.world import a_gateway, a_main, an_access, an_agent, token_of

ALL = Paging()


class TestFields:
    @pytest.mark.parametrize("name", ["", "  ", None, 5, "x" * 101, "two\nlines", "nul\0"])
    def test_a_name_is_one_line_of_a_hundred_characters_at_most(self, name) -> None:
        with pytest.raises(Invalid) as refused:
            CHECKS["name"](name, "name")
        assert refused.value.field == "name"

    def test_a_profile_becomes_text_and_what_is_empty_is_left_out(self) -> None:
        given = {
            "role": " Writer ",
            "skills": ["Prose", " ", "Verse", 7],
            "years": 12,
            "boss": None,
            "emoji": "",
            " ": "nameless",
        }
        assert CHECKS["identity_profile"](given, "identity_profile") == {
            "role": "Writer",
            "skills": "Prose, Verse, 7",
            "years": "12",
        }
        assert CHECKS["identity_profile"]({"a": []}, "identity_profile") is None
        assert CHECKS["identity_profile"](None, "identity_profile") is None

    @pytest.mark.parametrize("every", ["banana", 10, "10", ""])
    def test_a_cadence_is_a_length_of_time(self, every) -> None:
        """W-54."""
        with pytest.raises(Invalid) as refused:
            CHECKS["heartbeat_config"]({"every": every}, "heartbeat_config")
        assert refused.value.field == "heartbeat_config"

    def test_without_a_word_an_agent_checks_in_every_ten_minutes(self) -> None:
        usual = {"every": "10m", "target": "last", "includeReasoning": False}
        assert CHECKS["heartbeat_config"](None, "heartbeat_config") == usual
        assert CHECKS["heartbeat_config"]({"target": "x"}, "heartbeat_config") == {"target": "x"}

    def test_a_blank_template_is_none(self) -> None:
        assert CHECKS["soul_template"](" \n", "soul_template") is None
        assert CHECKS["soul_template"](" Be kind. ", "soul_template") == "Be kind."


class TestCreating:
    async def test_an_admin_creates_an_agent_and_sees_its_token_once(self, session, world) -> None:
        agent, token = await create(
            session, world.alice, world.board, " Ada ", identity_profile={"role": "Writer"}
        )
        assert (agent.name, agent.status, agent.board_id) == ("Ada", "provisioning", world.board.id)
        assert (agent.last_seen_at, agent.is_board_lead) == (None, False)
        assert agent.heartbeat_config["every"] == "10m"
        [kept] = await session.scalars(select(AgentToken).where(AgentToken.agent_id == agent.id))
        assert kept.secret_hash == fingerprint(token)
        assert token.startswith(kept.prefix)
        assert token not in vars(kept).values()
        known = await identity.agent_with_token(session, token)
        assert known
        assert known.id == agent.id
        [event] = await events(session)
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
                await create(session, actor, world.board)
        for actor in (world.rita, world.gardener):
            with pytest.raises(Forbidden):
                await create(session, actor, world.board)
        for actor in (world.charlie, world.charlies_worker):
            with pytest.raises(NotFound):
                await create(session, actor, world.board)
        assert await events(session) == []

    async def test_a_lead_creates_as_many_workers_as_its_board_takes(self, session, world) -> None:
        world.board.max_agents = 3
        session.add(world.board)
        agent, _ = await create(session, world.lead, world.board, "Third")
        assert (await events(session))[-1].agent_id == agent.id
        with pytest.raises(Conflict) as refused:
            await create(session, world.lead, world.board, "Fourth")
        assert refused.value.code == "max_agents_reached"
        assert refused.value.details == {"max_agents": 3}
        await create(session, world.alice, world.board, "Fourth")

    async def test_a_board_has_one_agent_of_a_name_in_whatever_letters(self, session, world):
        """W-47."""
        for name in ("Worker", "wORKER", " worker "):
            with pytest.raises(Conflict) as refused:
                await create(session, world.alice, world.board, name)
            assert refused.value.field == "name"
        await create(session, world.alice, world.garden, "Worker")
        await create(session, world.alice, world.board, "W%rker")

    async def test_a_board_has_one_lead_and_an_admin_says_who(self, session, world) -> None:
        """C35."""
        with pytest.raises(Conflict) as refused:
            await create(session, world.alice, world.board, is_board_lead=True)
        assert refused.value.code == "board_lead_exists"
        with pytest.raises(Forbidden):
            await create(session, world.lead, world.board, is_board_lead=True)
        lead, _ = await create(session, world.alice, world.garden, is_board_lead=True)
        assert lead.is_board_lead
        assert await names(session, world.garden) == ["New", "Gardener"]

    async def test_leads_that_create_at_once_do_not_exceed_the_limit(
        self, real_transaction, real_world
    ) -> None:
        """R5, W-50."""

        async def one(name):
            try:
                async with real_transaction() as session:
                    await create(session, real_world.lead, real_world.board, name)
            except Conflict as refusal:
                return refusal.code
            return None

        async with real_transaction() as session:
            (await session.merge(real_world.board)).max_agents = 4
        codes = await asyncio.gather(*[one(f"Worker {n}") for n in range(6)])
        assert sorted(codes, key=str) == [None, None, *["max_agents_reached"] * 4]

    async def test_names_that_are_taken_at_once_are_taken_once(
        self, real_transaction, real_world
    ) -> None:
        """W-50."""

        async def one():
            try:
                async with real_transaction() as session:
                    await create(session, real_world.alice, real_world.board, "Twin")
            except Conflict as refusal:
                return refusal.code
            return None

        codes = await asyncio.gather(*[one() for _ in range(5)])
        assert sorted(codes, key=str) == [None, *["agent_name_taken"] * 4]


async def test_the_database_keeps_one_lead_for_a_board_and_one_main_for_a_gateway(
    session, world
) -> None:
    """W-48. C35, W-50: whatever way they come."""
    gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    session.add_all(a_main(gateway))
    await session.flush()
    twins = [an_agent("Twin", world.board, is_board_lead=True), a_main(gateway, "Twin")[0]]
    for twin, index in zip(twins, ("one_lead_per_board", "one_main_per_gateway"), strict=True):
        with pytest.raises(IntegrityError, match=index):
            async with session.begin_nested():
                session.add(twin)


class TestTokens:
    async def test_a_new_token_lives_beside_the_old_one_until_it_is_used(self, session, world):
        new = await agents.issue_token(session, world.alices, world.worker.id)
        assert new is not None
        assert (await identity.agent_with_token(session, token_of(world.worker))) is not None
        known = await identity.agent_with_token(session, new)
        assert known
        assert known.id == world.worker.id
        assert (await identity.agent_with_token(session, token_of(world.worker))) is None
        [event] = await events(session)
        assert (event.type, event.agent_id) == (EventType.AGENT_TOKEN_ISSUED, world.worker.id)
        assert new not in str(event.data)

    async def test_only_who_may_change_the_agent_gets_one(self, session, world) -> None:
        for member, refusal in [
            (world.bobs, Forbidden),
            (world.danas, Forbidden),
            (world.charlies, NotFound),
        ]:
            with pytest.raises(refusal):
                await agents.issue_token(session, member, world.worker.id)
        with pytest.raises(NotFound):
            await agents.issue_token(session, world.alices, uuid4())


class TestChanging:
    async def change(self, session, world, agent, **changes):
        return await agents.change(session, world.alices, agent.id, changes)

    async def test_what_is_sent_changes_and_nothing_else(self, session, world) -> None:
        agent = await self.change(session, world, world.worker, name=" Ada ", soul_template="Be.")
        assert (agent.name, agent.soul_template) == ("Ada", "Be.")
        agent = await self.change(session, world, agent, identity_profile={"role": "Editor"})
        assert agent.identity_profile == {"role": "Editor"}
        agent = await self.change(session, world, agent, identity_profile=None)
        assert (agent.identity_profile, agent.name) == (None, "Ada")
        told = [(event.type, event.data["changed"]) for event in await events(session)]
        assert told == [
            (EventType.AGENT_UPDATED, ["name", "soul_template"]),
            (EventType.AGENT_UPDATED, ["identity_profile"]),
            (EventType.AGENT_UPDATED, ["identity_profile"]),
        ]

    async def test_a_change_of_nothing_is_not_told(self, session, world) -> None:
        for changes in ({}, {"name": "Worker"}, {"is_gateway_main": False}, {"unknown": 1}):
            await agents.change(session, world.alices, world.worker.id, changes)
        await self.change(session, world, world.worker, board_id=world.board.id)
        assert await events(session) == []

    @pytest.mark.parametrize(
        ("changes", "refusal", "field"),
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
    async def test_what_makes_no_sense_is_refused_and_nothing_changes(
        self, session, world, changes, refusal, field
    ) -> None:
        with pytest.raises(refusal) as refused:
            await self.change(session, world, world.worker, **changes)
        assert refused.value.field == field
        assert await events(session) == []

    async def test_its_own_name_in_other_letters_is_free_for_an_agent(self, session, world):
        assert (await self.change(session, world, world.worker, name="WORKER")).name == "WORKER"

    async def test_who_moves_leaves_its_work_behind_and_leads_no_more(self, session, world):
        """W-48."""
        tasks = {
            status: world.task(status, status=status, assigned_agent_id=world.lead.id)
            for status in Status
        }
        session.add_all(tasks.values())
        await session.flush()

        agent = await self.change(session, world, world.lead, board_id=world.garden.id)

        assert (agent.board_id, agent.is_board_lead) == (world.garden.id, False)
        assert tasks[Status.IN_PROGRESS].status is Status.INBOX
        held = {status: task.assigned_agent_id for status, task in tasks.items()}
        assert held == dict.fromkeys(Status) | {Status.DONE: agent.id}
        last = (await events(session))[-1]
        assert (last.type, last.board_id) == (EventType.AGENT_UPDATED, world.garden.id)
        assert last.data["changed"] == ["board_id", "is_board_lead"]

    async def test_it_moves_only_where_it_may_and_its_name_is_free(self, session, world) -> None:
        await create(session, world.alice, world.garden, "worker")
        for board, refusal in [(world.garden, Conflict), (world.charlies_board, NotFound)]:
            with pytest.raises(refusal):
                await self.change(session, world, world.worker, board_id=board.id)
        session.add(an_access(await session.merge(world.danas), world.board, can_write=True))
        await session.flush()
        with pytest.raises(Forbidden):
            await agents.change(
                session, world.danas, world.worker.id, {"board_id": world.garden.id}
            )

    async def test_strangers_and_members_change_nothing(self, session, world) -> None:
        for member, refusal in [
            (world.bobs, Forbidden),
            (world.danas, Forbidden),
            (world.charlies, NotFound),
        ]:
            with pytest.raises(refusal):
                await agents.change(session, member, world.worker.id, {"name": "Mine"})
        assert await names(session, world.board) == ["Lead", "Other worker", "Worker"]


class TestFinding:
    async def test_admins_list_the_agents_of_the_boards_they_read_newest_first(
        self, session, world
    ) -> None:
        new, _ = await create(session, world.alice, world.garden)
        page = await agents.listed(session, world.alices, Paging(limit=1))
        assert ([agent.id for agent in page.items], page.total) == ([new.id], 5)
        page = await agents.listed(session, world.alices, ALL, board_id=world.board.id)
        assert {agent.name for agent in page.items} == {"Lead", "Worker", "Other worker"}
        assert (await agents.listed(session, world.danas, ALL)).total == 0
        assert (await agents.listed(session, world.charlies, ALL)).total == 1
        with pytest.raises(Forbidden):
            await agents.listed(session, world.bobs, ALL)
        with pytest.raises(Forbidden):
            await agents.listed(session, world.danas, ALL, board_id=world.board.id)
        with pytest.raises(NotFound):
            await agents.listed(session, world.charlies, ALL, board_id=world.board.id)
        with pytest.raises(NotFound):
            await agents.listed(session, world.alices, ALL, gateway_id=uuid4())

    async def test_agents_list_those_beside_them(self, session, world) -> None:
        page = await agents.for_agent(session, world.worker, ALL)
        assert {agent.name for agent in page.items} == {"Lead", "Worker", "Other worker"}
        page = await agents.for_agent(session, world.worker, ALL, board_id=world.board.id)
        assert page.total == 3
        with pytest.raises(Forbidden):
            await agents.for_agent(session, world.worker, ALL, board_id=world.garden.id)
        with pytest.raises(NotFound):
            await agents.for_agent(session, world.worker, ALL, board_id=world.charlies_board.id)

    async def test_one_agent_is_found_by_who_may_see_it(self, session, world) -> None:
        found = await agents.get(session, world.alices, world.worker.id)
        assert found.id == world.worker.id
        for member, refusal in [
            (world.bobs, Forbidden),
            (world.danas, Forbidden),
            (world.charlies, NotFound),
        ]:
            with pytest.raises(refusal):
                await agents.get(session, member, world.worker.id)
        with pytest.raises(NotFound):
            await agents.get(session, world.alices, uuid4())

    async def test_of_another_organization_is_as_if_it_were_not_there(self, session, world) -> None:
        without_board = an_agent("Main", await session.merge(world.board))
        without_board.board = without_board.board_id = None
        session.add(without_board)
        await session.flush()
        for agent_id in (world.worker.id, without_board.id, uuid4()):
            for ask in (agents.get, agents.card, agents.issue_token):
                with pytest.raises(NotFound) as refused:
                    await ask(session, world.charlies, agent_id)
                assert refused.value.code == "agent_not_found"
        await agents.delete(session, world.charlie, without_board.id)
        found = await agents.listed(session, world.danas, ALL)
        assert [agent.name for agent in found.items] == ["Main"]

    async def test_pages_show_an_agent_to_everybody_who_reads_its_board(self, session, world):
        for member in (world.alices, world.bobs, world.ritas):
            card = await agents.card(session, member, world.worker.id)
            assert (card.agent.name, card.board_name) == ("Worker", "Launch")
        for member, refusal in [(world.danas, Forbidden), (world.charlies, NotFound)]:
            with pytest.raises(refusal):
                await agents.card(session, member, world.worker.id)
            with pytest.raises(refusal):
                await agents.cards(session, member, board_id=world.board.id)
