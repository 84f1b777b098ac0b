"""Finding agents: lists, filters and rights."""

from uuid import uuid4

import pytest

from core.errors import Forbidden, NotFound
from core.paging import Paging
from models import Status
from services import agents
from tests.services.test_agents import ALL
from tests.support.agent_helpers import create_agent
from tests.support.board_rows import make_agent


class TestFinding:
    async def test_admins_list_agents_of_readable_boards_newest_first(self, session, world) -> None:
        new, _ = await create_agent(session, world.alice, world.garden)
        page = await agents.list_agents(session, world.alice_member, Paging(limit=1))
        assert ([agent.id for agent in page.items], page.total) == ([new.id], 5)
        page = await agents.list_agents(session, world.alice_member, ALL, board_id=world.board.id)
        assert {agent.name for agent in page.items} == {"Lead", "Worker", "Other worker"}
        assert (await agents.list_agents(session, world.dana_member, ALL)).total == 0
        assert (await agents.list_agents(session, world.charlie_member, ALL)).total == 1
        with pytest.raises(Forbidden):
            await agents.list_agents(session, world.bob_member, ALL)
        with pytest.raises(Forbidden):
            await agents.list_agents(session, world.dana_member, ALL, board_id=world.board.id)
        with pytest.raises(NotFound):
            await agents.list_agents(session, world.charlie_member, ALL, board_id=world.board.id)

    async def test_agents_list_the_agents_of_their_board(self, session, world) -> None:
        page = await agents.list_agents_for_agent(session, world.worker, ALL)
        assert {agent.name for agent in page.items} == {"Lead", "Worker", "Other worker"}
        page = await agents.list_agents_for_agent(
            session, world.worker, ALL, board_id=world.board.id
        )
        assert page.total == 3
        with pytest.raises(Forbidden):
            await agents.list_agents_for_agent(session, world.worker, ALL, board_id=world.garden.id)
        with pytest.raises(NotFound):
            await agents.list_agents_for_agent(
                session, world.worker, ALL, board_id=world.charlies_board.id
            )

    async def test_an_agent_is_returned_to_those_who_may_see_it(self, session, world) -> None:
        found = await agents.get_agent(session, world.alice_member, world.worker.id)
        assert found.id == world.worker.id
        for member, error in [
            (world.bob_member, Forbidden),
            (world.dana_member, Forbidden),
            (world.charlie_member, NotFound),
        ]:
            with pytest.raises(error):
                await agents.get_agent(session, member, world.worker.id)
        with pytest.raises(NotFound):
            await agents.get_agent(session, world.alice_member, uuid4())

    async def test_agents_of_another_organization_are_not_found(self, session, world) -> None:
        without_board = make_agent("Main", await session.merge(world.board))
        without_board.board = without_board.board_id = None
        session.add(without_board)
        await session.flush()
        for agent_id in (world.worker.id, without_board.id, uuid4()):
            for ask in (agents.get_agent, agents.get_agent_card, agents.issue_token):
                with pytest.raises(NotFound) as rejected:
                    await ask(session, world.charlie_member, agent_id)
                assert rejected.value.code == "agent_not_found"
        await agents.delete_agent(session, world.charlie, without_board.id)
        found = await agents.list_agents(session, world.dana_member, ALL)
        assert [agent.name for agent in found.items] == ["Main"]

    async def test_agent_with_many_tasks_takes_one_place_on_the_board(self, session, world) -> None:
        for agent, count in [(world.worker, 25), (world.other_worker, 1)]:
            fields = {"status": Status.IN_PROGRESS, "assigned_agent_id": agent.id}
            session.add_all([world.make_task("Begun", **fields) for _ in range(count)])
            await session.flush()
        board = await session.merge(world.board)
        found = await agents.load_board_agents(session, board, ())
        shown = {card.agent.id for card in found.cards}
        assert {world.worker.id, world.other_worker.id} <= shown

    async def test_suggested_name_is_one_that_no_visible_agent_has(self, session, world) -> None:
        session.add_all([make_agent(name, world.board) for name in ("WORKER 2", "Worker 4")])
        await session.flush()
        suggested = await agents.suggest_free_name(session, world.alice_member, "worker")
        assert suggested == "worker 3"
        for member in (world.dana_member, world.charlie_member):  # who see none of these agents
            assert await agents.suggest_free_name(session, member, "worker") == "worker"

    async def test_agent_cards_are_visible_to_readers_of_the_board(self, session, world):
        for member in (world.alice_member, world.bob_member, world.rita_member):
            card = await agents.get_agent_card(session, member, world.worker.id)
            assert (card.agent.name, card.board_name) == ("Worker", "Launch")
        for member, error in [(world.dana_member, Forbidden), (world.charlie_member, NotFound)]:
            with pytest.raises(error):
                await agents.get_agent_card(session, member, world.worker.id)
