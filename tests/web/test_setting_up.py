"""What setting a board up wants of people: on the board's page, and in "Needs you"."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from models import Agent, Board
from services import boards, onboarding
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#inbox"}
QUESTION = {"question": "How much may it decide?"}
DRAFT = {"status": "complete", "board_type": "general"}

Says = Callable[[dict[str, Any]], Awaitable[None]]

NEW = {"name": "Harbour", "description": "All that comes in by sea."}
UNFINISHED = "Setting this board up is not finished."


@pytest.fixture
def harbour(alice):
    """Creates a board that no gateway runs, on the page, and returns its address."""

    async def create() -> str:
        made = await alice.post("/boards", data=NEW)
        assert made.status_code == 303
        return made.headers["Location"].removesuffix("/onboarding")

    return create


@pytest.fixture
async def main(transaction: Transaction, world: World) -> Agent:
    """The agent of the gateway that serves Launch, which has begun to ask."""
    gateway = a_gateway(world.tern)
    rows = a_main(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        await session.flush()
        board = await boards.hold(session, world.alice, world.board.id)
        await onboarding.start(session, world.alice, board, base_url="http://mission.test")
    return rows[0]


@pytest.fixture
def says(transaction: Transaction, main: Agent, world: World) -> Says:
    """Lets the agent ask, or send its draft."""

    async def say(content: dict[str, Any]) -> None:
        async with transaction() as session:
            board = await boards.hold(session, world.alice, world.board.id)
            of = onboarding.propose if "status" in content else onboarding.ask
            await of(session, main, board, content)

    return say


def needs(page: str) -> str:
    """Return the count of the lamp in the rail."""
    found = re.search(r'data-needs="(\d+)"', page)
    assert found
    return found[1]


async def test_a_board_without_a_gateway_says_that_it_is_not_set_up(alice, harbour) -> None:
    board = await harbour()
    for page in (board, f"{board}/settings"):
        shown = (await alice.get(page)).text
        assert UNFINISHED in shown
        assert f'href="{board}/onboarding">Go on</a>' in shown


async def test_it_says_so_no_more_when_it_is_launched_or_ended(alice, harbour) -> None:
    launched, ended = await harbour(), await harbour()
    form = (await alice.get(f"{launched}/onboarding/review")).text
    seen = dict(re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', form))
    goal = {"board_type": "general", "name": "Ava", **seen}
    assert (await alice.post(f"{launched}/onboarding/confirmations", data=goal)).status_code == 200
    assert (await alice.post(f"{ended}/onboarding/endings")).status_code == 303
    for board in (launched, ended):
        assert UNFINISHED not in (await alice.get(board)).text


async def test_a_question_about_a_board_waits_in_needs_you(alice, says, world) -> None:
    here = f"/boards/{world.board.id}/onboarding"
    before = (await alice.get("/approvals")).text
    assert needs(before) == "0"
    await says(QUESTION)
    page = (await alice.get("/approvals")).text
    assert needs(page) == "1"
    assert f'<a href="{here}">How much may it decide?</a>' in page
    assert "Setting up Launch · Harbour master" in page
    assert 'id="needs-count">1<' in page
    assert f'href="{here}">Answer</a>' in page  # beside the list, where nothing else is shown
    part = (await alice.get("/approvals", headers=HTMX)).text
    assert f'href="{here}">Answer</a>' in part
    assert (await alice.get("/")).headers["Location"] == "/approvals"
    assert 'data-n="1"' in (await alice.get("/boards", headers=HTMX)).text


async def test_a_draft_waits_to_be_reviewed(alice, says, world) -> None:
    await says(DRAFT)
    page = (await alice.get("/approvals")).text
    review = f"/boards/{world.board.id}/onboarding/review"
    assert f'<a href="{review}">Is this what Launch should do?</a>' in page
    assert f'href="{review}">Review the draft</a>' in page


async def test_it_waits_on_its_board_only_and_beside_other_questions(
    alice, says, transaction, world
) -> None:
    async with transaction() as session:
        session.add_all(world.approval())
    await says(QUESTION)
    page = (await alice.get(f"/approvals?board={world.board.id}")).text
    assert needs(page) == "2"
    assert page.count('class="ask-row"') == 2
    elsewhere = (await alice.get(f"/approvals?board={world.garden.id}")).text
    assert "How much may it decide?" not in elsewhere


async def test_after_the_last_other_answer_it_is_what_is_shown(
    alice, says, transaction, world
) -> None:
    rows = world.approval(world.task())
    async with transaction() as session:
        session.add_all(rows)
    await says(QUESTION)
    path = f"/approvals/{rows[0].id}/answers"
    answer = await alice.post(path, data={"status": "approved"}, headers=HTMX)
    assert answer.status_code == 200
    assert 'href="/boards/' in answer.text
    assert ">Answer</a>" in answer.text


async def test_it_is_nothing_to_those_who_may_not_answer(rita, dana, charlie, says) -> None:
    await says(QUESTION)
    for browser in (rita, dana, charlie):
        page = (await browser.get("/approvals")).text
        assert needs(page) == "0"
        assert "How much may it decide?" not in page
