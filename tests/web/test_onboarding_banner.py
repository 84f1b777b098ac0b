"""Pending onboardings on the page of a board and in the inbox."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent, Board
from services import boards, onboarding
from tests.support.approval_pages import approving
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#inbox"}
QUESTION = {"question": "How much may it decide?"}
DRAFT = {"status": "complete", "board_type": "general"}

Says = Callable[[dict[str, Any]], Awaitable[None]]

NEW = {"name": "Harbour", "description": "All that comes in by sea.", "objective": "Open in May"}
UNFINISHED = "Setup incomplete."


@pytest.fixture
def harbour(alice):
    """Creates a board that no gateway runs, on the page, and returns its address."""

    async def create() -> str:
        made = await alice.post("/boards", data=NEW)
        assert made.status_code == 303
        return made.headers["Location"].removesuffix("/onboarding")

    return create


@pytest.fixture
async def main_agent(transaction: TransactionFactory, world: World) -> Agent:
    """The agent of the gateway that serves Launch, which has begun to ask."""
    gateway = make_gateway(world.tern)
    rows = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        await session.flush()
        board = await boards.lock_board(session, world.alice, world.board.id)
        await onboarding.start_onboarding(
            session, world.alice, board, base_url="http://mission.test"
        )
    return rows[0]


@pytest.fixture
def post_agent_message(transaction: TransactionFactory, main_agent: Agent, world: World) -> Says:
    """Lets the agent ask, or send its draft."""

    async def say(content: dict[str, Any]) -> None:
        async with transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            of = onboarding.submit_draft if "status" in content else onboarding.ask_question
            await of(session, main_agent, board, content)

    return say


def get_needs_count(page: str) -> str:
    """Return the number in the sidebar of things that need the user."""
    found = re.search(r'data-needs="(\d+)"', page)
    assert found
    return found[1]


async def test_a_board_without_a_gateway_shows_the_open_onboarding(alice, harbour) -> None:
    board = await harbour()
    for page in (board, f"{board}/settings"):
        shown = (await alice.get(page)).text
        assert UNFINISHED in shown
        assert f'href="{board}/onboarding">Continue</a>' in shown
        assert f'action="{board}/onboarding/endings"' in shown


async def test_the_banner_disappears_after_launch_or_cancellation(alice, harbour) -> None:
    launched, ended = await harbour(), await harbour()
    form = (await alice.get(f"{launched}/onboarding/review")).text
    seen_fields = dict(
        re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', form)
    )
    goal = {"board_type": "general", "name": "Ava", **seen_fields}
    assert (await alice.post(f"{launched}/onboarding/confirmations", data=goal)).status_code == 200
    assert (await alice.post(f"{ended}/onboarding/endings")).status_code == 303
    for board in (launched, ended):
        shown = (await alice.get(board)).text
        assert UNFINISHED not in shown
        assert f'action="{board}/onboarding/endings"' not in shown


async def test_a_reader_cannot_end_the_onboarding(rita, post_agent_message, world) -> None:
    await post_agent_message(QUESTION)
    shown = (await rita.get(f"/boards/{world.board.id}")).text
    assert 'id="setting-up"' in shown
    assert "/onboarding/endings" not in shown


def find_row_link(page: str) -> tuple[str, ...]:
    """Return the address and the text of the only row of the inbox."""
    [found] = re.findall(r'<h3 class="ask-row__q[^>]*><a href="([^"]*)"[^>]*>([^<]*)</a>', page)
    return tuple(found)


async def test_an_onboarding_question_is_in_the_inbox(alice, post_agent_message, world) -> None:
    onboarding_path = f"/boards/{world.board.id}/onboarding"
    before = (await alice.get("/approvals")).text
    assert get_needs_count(before) == "0"
    await post_agent_message(QUESTION)
    page = (await alice.get("/approvals")).text
    assert get_needs_count(page) == "1"
    assert find_row_link(page) == (onboarding_path, "How much may it decide?")
    assert "Setting up Launch · Harbour master" in page
    assert 'id="needs-count">1<' in page
    assert (
        f'href="{onboarding_path}">Answer</a>' in page
    )  # in the detail area, because no other item is pending
    part = (await alice.get("/approvals", headers=HTMX)).text
    assert f'href="{onboarding_path}">Answer</a>' in part
    assert (await alice.get("/")).headers["Location"] == "/approvals"
    assert 'data-n="1"' in (await alice.get("/boards", headers=HTMX)).text


async def test_a_draft_is_in_the_inbox(alice, post_agent_message, world) -> None:
    await post_agent_message(DRAFT)
    page = (await alice.get("/approvals")).text
    review = f"/boards/{world.board.id}/onboarding/review"
    assert find_row_link(page) == (review, "Review the draft for Launch")
    assert f'href="{review}">Review the draft</a>' in page


async def test_an_onboarding_is_listed_for_its_board_beside_other_items(
    alice, post_agent_message, transaction, world
) -> None:
    async with transaction() as session:
        session.add_all(world.make_approval())
    await post_agent_message(QUESTION)
    page = (await alice.get(f"/approvals?board={world.board.id}")).text
    assert get_needs_count(page) == "2"
    assert page.count('class="ask-row"') == 2
    elsewhere = (await alice.get(f"/approvals?board={world.garden.id}")).text
    assert "How much may it decide?" not in elsewhere


async def test_the_onboarding_is_selected_after_the_last_decision(
    alice, post_agent_message, transaction, world
) -> None:
    rows = world.make_approval(world.make_task())
    async with transaction() as session:
        session.add_all(rows)
    await post_agent_message(QUESTION)
    path = f"/approvals/{rows[0].id}/answers"
    answer = await alice.post(path, data=approving(rows[0]), headers=HTMX)
    assert answer.status_code == 200
    assert 'href="/boards/' in answer.text
    assert ">Answer</a>" in answer.text


async def test_readers_do_not_see_onboardings_in_the_inbox(
    rita, dana, charlie, post_agent_message
) -> None:
    await post_agent_message(QUESTION)
    for browser in (rita, dana, charlie):
        page = (await browser.get("/approvals")).text
        assert get_needs_count(page) == "0"
        assert "How much may it decide?" not in page
