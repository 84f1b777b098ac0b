"""The list of agents of pages: filters, order and pages."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from core.clock import now
from core.paging import KeysetPage, PagePlace
from models import ClientConnection, CodingClient, SessionState, Status, new_id
from services import agents
from services.agents import AgentFilters, AgentSort, AgentState
from tests.services.test_agent_presence import HOUR, MINUTE, list_presences, make_gateways
from tests.support.board_rows import make_agent, make_task
from tests.support.gateway_rows import make_run
from tests.support.tiers import repetition, select_options
from tests.support.tool_calls import make_coding_session

SIZE = 7
MAX_PAGES = 10


async def list_cards(session, member, filters=None, **options):
    """Return the cards of the whole list, read page by page."""
    pages = await list_pages(session, member, filters, **options)
    return [card for page in pages for card in page.items]


async def list_pages(session, member, filters=None, **options):
    """Return the pages of the list."""
    pages = [KeysetPage([], after="")]
    for _ in range(MAX_PAGES):
        place = PagePlace(after=pages[-1].after)
        found = await agents.list_agent_page(session, member, SIZE, place, filters, **options)
        pages.append(found.page)
        if not found.page.after:
            return pages[1:]
    raise AssertionError("The list does not end.")


async def list_names(session, member, filters=None, **options) -> list[str]:
    cards = await list_cards(session, member, filters, **options)
    return [card.agent.name for card in cards]


async def store_agents(session, world, moment) -> None:
    """Store agents in all states, some with a task, a run, or a client with a session."""
    chosen = random.Random(7)
    for gateway in (None, *make_gateways(world, moment)):
        session.add_all([gateway] if gateway else [])
        await session.flush()
        on = {"gateway_id": gateway and gateway.id}
        found = [
            make_agent("One", world.board, **on, **fields) for fields in list_presences(moment)
        ]
        session.add_all(found)
        await session.flush()
        for agent in found:
            if chosen.random() < 0.2:
                session.add(make_task(world.board, "A", status=Status.IN_PROGRESS, assignee=agent))
            if gateway and chosen.random() < 0.2:
                session.add(make_run(gateway, agent))
            if not gateway and chosen.random() < 0.6:
                at = moment - chosen.choice((MINUTE, 6 * MINUTE, 2 * HOUR, 30 * HOUR))
                state = chosen.choice([*SessionState])
                session.add(make_coding_session(agent, state=state, last_signal_at=at))
            if not gateway and chosen.random() < 0.6:
                connection = {"agent_id": agent.id, "client": CodingClient.CLAUDE}
                session.add(
                    ClientConnection(id=new_id(), created_at=moment, mcp_at=moment, **connection)
                )
    await session.flush()


async def test_states_in_the_database_are_those_of_the_cards(session, world) -> None:
    await store_agents(session, world, now())
    for minimum in select_options("minimum", (10 * MINUTE, MINUTE / 2, 5 * HOUR)):
        cards = await agents.list_agent_cards(session, world.alice_member, offline_after=minimum)
        expected = Counter(card.state for card in cards)
        assert set(expected) == {*AgentState} - {AgentState.WAITING}
        for state in AgentState:
            found = await agents.list_agent_page(
                session,
                world.alice_member,
                SIZE,
                PagePlace(),
                AgentFilters(states=[state]),
                offline_after=minimum,
            )
            assert found.total == expected[state]
            assert {card.state for card in found.page.items} <= {state}
            assert found.counts is None  # there are more than are counted


@pytest.mark.parametrize("sort", AgentSort)
@pytest.mark.parametrize("is_descending", [False, pytest.param(True, marks=repetition)])
async def test_pages_show_each_agent_once_in_both_directions(
    session, world, sort, is_descending
) -> None:
    for number in range(3 * SIZE):
        seen = now() - number % 4 * HOUR if number % 4 else None
        board = world.garden if number % 2 else world.board
        agent = make_agent(f"agent {number % 5}", board, last_seen_at=seen)
        session.add(agent)
        await session.flush()
        if number % 3 == 0:
            title = f"Task {number % 2}"
            session.add(make_task(board, title, status=Status.IN_PROGRESS, assignee=agent))
    await session.flush()
    options = {"sort": sort, "is_descending": is_descending}
    pages = await list_pages(session, world.alice_member, **options)
    ids = [card.agent.id for page in pages for card in page.items]
    expected = await agents.list_agent_cards(session, world.alice_member)
    assert sorted(ids) == sorted(card.agent.id for card in expected)
    for before, after in pairwise(pages):
        again = await agents.list_agent_page(
            session, world.alice_member, SIZE, PagePlace(before=after.before), **options
        )
        assert [one.agent.id for one in again.page.items] == [one.agent.id for one in before.items]


async def test_a_page_that_does_not_exist_any_more_is_the_first(session, world) -> None:
    first = await agents.list_agent_page(session, world.alice_member, 2, PagePlace())
    shown = [card.agent.name for card in first.page.items]
    for place in (PagePlace(after="x"), PagePlace(before=first.page.after + "A")):
        found = await agents.list_agent_page(session, world.alice_member, 2, place)
        assert [card.agent.name for card in found.page.items] == shown
    last = await agents.list_agent_page(
        session, world.alice_member, 2, PagePlace(after=first.page.after), is_descending=True
    )
    assert not last.page.before  # a cursor of another order


async def test_a_list_has_the_agents_that_match_all_filters(session, world) -> None:
    world.worker.identity_profile = {"role": "100% Reviewer"}
    world.gardener.held_at, world.gardener.hold = now(), {"reason": "pause"}
    session.add_all([await session.merge(world.worker), await session.merge(world.gardener)])
    await session.flush()
    member = world.alice_member
    assert await list_names(session, member, AgentFilters(["REVIEWER", "launch"])) == ["Worker"]
    assert await list_names(session, member, AgentFilters(["0%"])) == ["Worker"]
    assert await list_names(session, member, AgentFilters(["%_"])) == []
    assert await list_names(session, member, AgentFilters(is_held=True)) == ["Gardener"]
    of_garden = AgentFilters(board_id=world.garden.id)
    assert await list_names(session, member, of_garden) == ["Gardener"]
    assert await list_names(session, world.charlie_member, of_garden) == []
    assert "Gardener" not in await list_names(session, world.rita_member)
    assert await list_names(session, world.dana_member) == []
