"""Setting up a board on its pages: questions, a form beside them, a review, and the launch."""

import html
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import select, update

from kit.clock import now
from models import (
    Agent,
    Board,
    Message,
    MessageState,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    Step,
)
from tests.conftest import Transaction
from tests.services.test_onboarding_transcripts import NONSENSE
from tests.web.conftest import Browsers
from tests.world import World, a_gateway, a_main, token_of

Browser = httpx2.AsyncClient
Says = Callable[..., Awaitable[dict[str, Any]]]

HTMX = {"HX-Request": "true"}
QUESTION = {
    "question": "How much may it decide?",
    "options": ["Asks first", "Balanced", "Something else, I'll type it"],
}
DRAFT = {
    "status": "complete",
    "board_type": "goal",
    "objective": "Ten partners live",
    "success_metrics": {"Partners live": "10", "Where": ["here"]},
    "target_date": "2027-01-31",
    "user_profile": {"preferred_name": "Al", "timezone": "Europe/Lisbon"},
    "lead_agent": {
        "name": "Ava",
        "identity_profile": {"role": "Keeper", "purpose": "Partners"},
        "autonomy_level": "balanced",
        "custom_instructions": "Ask before e-mails.",
    },
}
TYPED = {
    "board_type": "goal",
    "objective": "Eleven partners",
    "measure": ["Partners live", "", ""],
    "target": ["11", "", ""],
    "target_date": "2027-02-01",
    "name": "Eva",
    "role": "",
    "autonomy_level": "autonomous",
    "preferred_name": "Alice",
}


@pytest.fixture
def here(world: World) -> str:
    return f"/boards/{world.board.id}/onboarding"


@pytest.fixture
def garden(world: World) -> str:
    """Where a board without a gateway and without a lead is set up."""
    return f"/boards/{world.garden.id}/onboarding"


@pytest.fixture
async def main(transaction: Transaction, world: World) -> Agent:
    """The agent of the gateway that serves Launch."""
    gateway = a_gateway(world.tern)
    rows = a_main(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
        await session.delete(await session.get_one(Agent, world.lead.id))
    return rows[0]


@pytest.fixture
def says(browsers: Browsers, main: Agent, world: World) -> Says:
    """Lets the agent say something over the API."""
    headers = {"Authorization": f"Bearer {token_of(main)}"}
    api = browsers(None)

    async def say(content: object, status: int = 200) -> dict[str, Any]:
        path = f"/api/v1/agent/boards/{world.board.id}/onboarding"
        answer = await api.post(path, json=content, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    return say


def words_of(page: httpx2.Response) -> str:
    """Return what a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def seen_on(page: httpx2.Response) -> dict[str, str]:
    """Return which conversation a page knows of."""
    fields = re.findall(r'<input type="hidden" name="(last|was_open)" value="([^"]*)">', page.text)
    return dict(fields)


def asked_in(page: httpx2.Response) -> str:
    """Return the id of the question that a page asks."""
    found = re.search(r'id="answer-([\w-]+)"', page.text)
    assert found
    return found[1]


async def waiting_for(transaction: Transaction, seconds: float, **letter: Any) -> None:
    """Let it be so long ago that something was said, and say what has become of the message."""
    async with transaction() as session:
        then = now() - timedelta(seconds=seconds)
        await session.execute(update(OnboardingMessage).values(created_at=then))
        await session.execute(update(OnboardingSession).values(created_at=then))
        if letter:
            await session.execute(update(Message).values(**letter))


async def test_a_new_board_on_a_gateway_is_asked_about_at_once(
    alice: Browser, main: Agent, transaction: Transaction
) -> None:
    form = await alice.get("/boards/new")
    assert f'<option value="{main.gateway_id}" selected>Harbour</option>' in form.text
    new = {"name": "Docs", "description": "All words", "gateway_id": str(main.gateway_id)}
    made = await alice.post("/boards", data=new)
    where = made.headers["Location"]
    assert re.fullmatch(r"/boards/[\w-]+/onboarding", where)
    page = await alice.get(where)
    assert "Harbour master is setting up Docs ." in words_of(page)
    assert "Thinking about the first question" in page.text
    async with transaction() as session:
        told = await session.scalar(select(Message).where(Message.agent_id == main.id))
    assert told is not None
    assert told.kind == "BOARD ONBOARDING REQUEST"


async def test_a_board_without_a_gateway_is_a_form(alice: Browser, garden: str) -> None:
    page = await alice.get(garden)
    assert page.status_code == 200
    assert "What should Garden reach, and who leads it?" in words_of(page)
    assert f'action="{garden}/review"' in page.text
    assert 'id="talk"' not in page.text


async def test_questions_are_answered_one_by_one_and_stay_in_sight(
    bob: Browser, says: Says, here: str
) -> None:
    assert "Let Harbour master ask" in words_of(await bob.get(here))
    assert (await bob.post(here)).headers["Location"] == here
    await says({"question": "What for?"})
    page = await bob.get(here)
    first = asked_in(page)
    assert "Answer in your own words." in words_of(page)
    said = await bob.post(f"{here}/answers", data={"question": first, "other": "Partners & <b>"})
    assert said.headers["Location"] == here
    assert "Thinking about the next question" in (await bob.get(here)).text

    await says(QUESTION)
    page = await bob.get(here)
    assert "What for? Partners & <b> Change" in words_of(page)
    assert "Question 2 of 6 to 10." in words_of(page)
    assert page.text.count('type="checkbox" name="choice"') == 3
    assert page.text.count("data-types") == 1
    chosen = {"choice": ["Balanced", QUESTION["options"][2]], "other": "No e-mails"}
    part = await bob.post(
        f"{here}/answers", data=chosen | {"question": asked_in(page)}, headers=HTMX
    )
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "Balanced: No e-mails" in words_of(part)
    assert 'id="brief" hx-swap-oob="outerMorph"' in part.text


async def test_what_was_typed_into_a_box_that_is_closed_again_does_not_count(
    bob: Browser, says: Says, here: str
) -> None:
    await bob.post(here)
    await says(QUESTION)
    question = asked_in(await bob.get(here))
    typed = {"question": question, "choice": ["Balanced"], "other": "Never mind"}
    await bob.post(f"{here}/answers", data=typed)
    assert "Never mind" not in (await bob.get(here)).text


async def test_where_nothing_fits_one_says_it_in_ones_own_words(
    bob: Browser, says: Says, here: str
) -> None:
    await bob.post(here)
    await says({"question": "Which?", "options": ["A", "B"]})
    page = await bob.get(here)
    assert "Something else, in my own words" in page.text
    typed = {"question": asked_in(page), "choice": ["own"], "other": "Neither"}
    part = await bob.post(f"{here}/answers", data=typed, headers=HTMX)
    assert "Which? Neither Change" in words_of(part)


@pytest.mark.parametrize(
    "typed",
    [{}, {"choice": [""]}, {"choice": ["own"], "other": " "}, {"other": "a\0b"}],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_an_answer_that_says_nothing_comes_back(
    bob: Browser, says: Says, here: str, typed: dict[str, Any], headers: dict[str, str]
) -> None:
    await bob.post(here)
    await says(QUESTION)
    question = asked_in(await bob.get(here))
    back = await bob.post(f"{here}/answers", data=typed | {"question": question}, headers=headers)
    assert back.status_code == 422
    assert 'aria-invalid="true"' in back.text
    assert ("HX-Retarget" in back.headers) is bool(headers)
    assert "Question 1 of 6 to 10." in words_of(await bob.get(here))


async def test_who_answers_in_a_second_tab_is_told_and_loses_nothing(
    alice: Browser, bob: Browser, says: Says, here: str
) -> None:
    await bob.post(here)
    await says(QUESTION)
    question = asked_in(await bob.get(here))
    await alice.post(f"{here}/answers", data={"question": question, "choice": ["Asks first"]})
    late = {"question": question, "choice": ["Balanced"]}
    for headers in ({}, HTMX):
        back = await bob.post(f"{here}/answers", data=late, headers=headers)
        assert back.status_code == 409
        assert "It was answered meanwhile: “Asks first”." in html.unescape(back.text)
        changing = re.search(rf'<details[^>]*id="change-{question}"[^>]* open>', back.text)
        assert changing  # what was chosen is there, to be sent as a correction
        assert 'value="Balanced" checked' in back.text

    await says({"question": "When?"})
    await says({"question": "By when?"})
    passed = re.findall(r"Not answered", (await bob.get(here)).text)
    assert len(passed) == 1
    stale = await bob.post(f"{here}/answers", data={"question": question, "other": "x"})
    assert stale.status_code == 409
    nonsense = await bob.post(f"{here}/answers", data={"question": "what?", "other": "x"})
    assert nonsense.status_code == 422


async def test_an_answer_is_changed_by_adding_another(
    bob: Browser, says: Says, here: str, transaction: Transaction
) -> None:
    await bob.post(here)
    await says(QUESTION)
    question = asked_in(await bob.get(here))
    await bob.post(f"{here}/answers", data={"question": question, "choice": ["Asks first"]})
    await says({"question": "When?"})
    page = await bob.get(here)
    assert 'value="Asks first" checked' in page.text
    changed = {"question": question, "choice": ["Balanced"]}
    part = await bob.post(f"{here}/corrections", data=changed, headers=HTMX)
    assert "Balanced changed" in words_of(part)
    assert "When?" in words_of(part)
    assert asked_in(part) != question
    empty = await bob.post(f"{here}/corrections", data={"question": question})
    assert empty.status_code == 422
    unknown = await bob.post(
        f"{here}/corrections", data={"question": asked_in(part), "other": "Soon"}
    )
    assert unknown.status_code == 404
    async with transaction() as session:
        said = select(OnboardingMessage.content).order_by(OnboardingMessage.seq)
        kept = (await session.scalars(said)).all()
    assert "Asks first" in kept
    assert kept[-1] == "Correction to “How much may it decide?”: Balanced"


@pytest.mark.parametrize(
    ("seconds", "says_so", "does_not"),
    [
        (3, ["Thinking about the first question", "Waiting since"], ["longer than", "Ask again"]),
        (25, ["That is longer than usual.", "25 s", "Ask again", "Check the gateway"], ["silent"]),
        (75, ["1 min", "is silent.", "Fill in the form", "Ask again"], []),
    ],
)
async def test_who_waits_is_told_for_how_long_and_what_else_there_is(
    alice: Browser,
    main: Agent,
    here: str,
    transaction: Transaction,
    seconds: int,
    says_so: list[str],
    does_not: list[str],
) -> None:
    """W-40, and 60 seconds."""
    await alice.post(here)
    await waiting_for(transaction, seconds, state=MessageState.SENT, sent_at=now())
    for headers in ({}, HTMX):
        page = await alice.get(here, headers=headers)
        for words in [*says_so, "Harbour master has had the message since"]:
            assert words in words_of(page)
        for words in does_not:
            assert words not in words_of(page)
    assert f'href="/gateways/{main.gateway_id}"' in page.text or seconds == 3


@pytest.mark.parametrize(
    ("letter", "words", "is_sent_again"),
    [
        ({"state": MessageState.QUEUED}, "has not taken the message yet", False),
        ({"state": MessageState.ACKNOWLEDGED, "acknowledged_at": now()}, "since", True),
        (
            {"state": MessageState.FAILED, "last_error": "The gateway was away."},
            "could not be delivered: The gateway was away.",
            True,
        ),
    ],
)
async def test_what_has_become_of_the_message_is_said(
    bob: Browser,
    main: Agent,
    here: str,
    transaction: Transaction,
    letter: dict[str, Any],
    words: str,
    is_sent_again: bool,
) -> None:
    await bob.post(here)
    await waiting_for(transaction, 30, **letter)
    page = await bob.get(here)
    assert words in words_of(page)
    assert "Ask again" in page.text
    assert "An admin can check the gateway Harbour." in words_of(page)
    assert (await bob.post(f"{here}/reminders")).headers["Location"] == here
    async with transaction() as session:
        told = (await session.scalars(select(Message).where(Message.agent_id == main.id))).all()
    assert len(told) == 1 + is_sent_again


async def test_the_draft_is_a_form_that_says_what_it_comes_to(
    alice: Browser, says: Says, here: str
) -> None:
    await alice.post(here)
    await says(QUESTION)
    question = asked_in(await alice.get(here))
    await alice.post(f"{here}/answers", data={"question": question, "choice": ["Balanced"]})
    await says(DRAFT)
    assert "The draft is ready." in words_of(await alice.get(here))
    page = await alice.get(f"{here}/review")
    assert "Harbour master drafted this from your 1 answer" in words_of(page)
    for shown in (
        ">\nTen partners live</textarea>",
        'name="target" aria-label="Target of measure 2" placeholder="Target" value="10"',
        'value="[&#34;here&#34;]"',
        'value="2027-01-31"',
        'name="name" type="text" value="Ava"',
        'value="Keeper"',
        '<option value="balanced" selected>Decides what is small</option>',
        'value="Al"',
        'value="Europe/Lisbon"',
        "tasks need an approval before they are done",
        "AGENTS.md",
        "Creates tasks on this board",
        f"workspace-lead-{here.split('/')[2]}",
    ):
        assert shown in page.text, shown
    assert "mc_agent_" not in page.text

    part = await alice.post(f"{here}/review", data=TYPED, headers=HTMX)
    assert "<html" not in part.text
    assert "Because Eva decides on its own" in words_of(part)
    assert "Eleven partners" in part.text
    whole = await alice.post(f"{here}/review", data=TYPED)
    assert (whole.status_code, "Eleven partners</textarea>" in whole.text) == (200, True)


async def test_what_is_confirmed_is_what_was_typed_and_what_the_draft_knows_besides(
    alice: Browser, says: Says, here: str, transaction: Transaction, world: World
) -> None:
    await alice.post(here)
    await says(DRAFT)
    page = await alice.get(f"{here}/review")
    typed = TYPED | {
        **seen_on(page),
        "measure": ["Partners live", "Where"],
        "target": ["11", '["here"]'],
    }
    done = await alice.post(f"{here}/confirmations", data=typed)
    assert (done.status_code, done.headers["Location"]) == (303, f"{here}/launch")
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id, populate_existing=True)
        lead = await session.scalar(
            select(Agent).where(Agent.board_id == board.id, Agent.is_board_lead)
        )
    assert (board.objective, board.goal_confirmed) == ("Eleven partners", True)
    assert board.success_metrics == {"Partners live": "11", "Where": ["here"]}
    assert board.require_approval_for_done is False
    assert f"{board.target_date:%Y-%m-%d}" == "2027-02-01"
    assert lead is not None
    assert lead.name == "Eva"
    known = {"role": "Keeper", "purpose": "Partners", "autonomy_level": "autonomous"}
    assert known.items() <= (lead.identity_profile or {}).items()
    await says({"question": "Too late?"}, status=409)
    launch = await alice.get(f"{here}/launch")
    assert "Eva is coming." in words_of(launch)
    assert "Eva is made on Harbour" in words_of(launch)
    assert "<html" not in (await alice.get(f"{here}/launch", headers=HTMX)).text


async def test_a_launch_that_failed_says_why_and_is_tried_again(
    alice: Browser, bob: Browser, says: Says, here: str, transaction: Transaction, world: World
) -> None:
    await alice.post(here)
    await says(DRAFT)
    seen = seen_on(await alice.get(here))
    await alice.post(f"{here}/confirmations", data=TYPED | seen)
    failure = {"step": "files", "code": "no_room", "reason": "No room.", "command": "df -h"}
    failure["at"] = now().isoformat()
    of_lead = (Agent.board_id == world.board.id) & Agent.is_board_lead
    async with transaction() as session:
        failed = {"step": Step.FILES, "provision_failure": failure}
        await session.execute(update(Agent).where(of_lead).values(**failed))
    page = await alice.get(f"{here}/launch")
    assert "Eva needs you." in words_of(page)
    for words in ("Its files are written No room.", "df -h", "Try again"):
        assert words in words_of(page)
    assert "Try again" not in words_of(await bob.get(f"{here}/launch"))
    again = re.findall(r'action="(/agents/[\w-]+/provisionings)"', page.text)[0]
    assert (await alice.post(again, data={"wake": "on"})).status_code == 303
    assert "Eva is coming." in words_of(await alice.get(f"{here}/launch", headers=HTMX))


async def test_context_goes_back_to_the_agent_and_another_draft_is_waited_for(
    bob: Browser, says: Says, here: str
) -> None:
    await bob.post(here)
    await says(DRAFT)
    empty = await bob.post(f"{here}/additions", data={"context": " "})
    assert (empty.status_code, "Fill this in." in empty.text) == (422, True)
    sent = await bob.post(f"{here}/additions", data={"context": "Ask Ann first."})
    assert sent.headers["Location"] == here
    page = await bob.get(here)
    assert "Writing the draft" in page.text
    assert "You added Ask Ann first." in words_of(page)
    mark = re.search(r'news\?seen=([^"]*)"', (await bob.get(f"{here}/review")).text)
    assert mark
    quiet = await bob.get(f"{here}/news?seen={html.unescape(mark[1])}", headers=HTMX)
    assert "another draft" not in quiet.text
    await says(DRAFT | {"objective": "Ten, after Ann"})
    loud = await bob.get(f"{here}/news?seen={html.unescape(mark[1])}", headers=HTMX)
    assert "has written another draft" in loud.text


async def test_a_person_alone_launches_a_lead_and_sees_its_token_once(
    alice: Browser, browsers: Browsers, garden: str
) -> None:
    review = await alice.post(f"{garden}/review", data=TYPED)
    assert review.status_code == 200
    assert "No gateway runs it, so no files are written" in words_of(review)
    done = await alice.post(f"{garden}/confirmations", data=TYPED)
    assert done.status_code == 200
    token = re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', done.text)[0]
    assert "Eva can call now." in words_of(done)
    again = await alice.get(f"{garden}/launch")
    assert token not in again.text
    assert "first call.</b>" in again.text
    headers = {"Authorization": f"Bearer {token}"}
    assert (
        await browsers(None).post("/api/v1/agent/heartbeat", headers=headers)
    ).status_code == 200
    assert "Eva is here." in words_of(await alice.get(f"{garden}/launch", headers=HTMX))

    late = await alice.post(f"{garden}/confirmations", data=TYPED)
    assert late.status_code == 409
    assert "It was confirmed already." in words_of(late)
    assert token not in late.text


async def test_a_launch_whose_lead_is_gone_says_so(
    alice: Browser, garden: str, transaction: Transaction, world: World
) -> None:
    await alice.post(f"{garden}/confirmations", data=TYPED)
    async with transaction() as session:
        leads = select(Agent).where(Agent.board_id == world.garden.id, Agent.is_board_lead)
        await session.delete((await session.scalars(leads)).one())
    for headers in ({}, HTMX):
        page = await alice.get(f"{garden}/launch", headers=headers)
        assert page.status_code == 200
        assert "The board has no lead any more." in words_of(page)


async def test_who_is_no_admin_launches_but_gets_no_token(
    bob: Browser, here: str, transaction: Transaction, world: World
) -> None:
    async with transaction() as session:
        await session.delete(await session.get_one(Agent, world.lead.id))
    done = await bob.post(f"{here}/confirmations", data=TYPED)
    assert done.headers["Location"] == f"{here}/launch"
    page = await bob.get(f"{here}/launch")
    assert "Eva needs a token to call. An admin makes it" in words_of(page)
    assert "mc_agent_" not in page.text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"objective": " "}, "A goal needs an objective."),
        ({"measure": [], "target": []}, "A goal needs success metrics"),
        ({"target_date": "soon"}, "Write a date like 2026-12-24."),
        ({"board_type": "x"}, ""),
        ({"name": "x" * 150}, "100 at most."),
        ({"name": "a\0b"}, "cannot be stored"),
        ({"verbosity": "chatty"}, "Choose one of those that are offered."),
        ({"timezone": "Mars"}, "Choose one from the list"),
        ({"custom_instructions": "y" * 70_000}, ""),
        ({"last": "nothing"}, ""),
    ],
)
async def test_what_cannot_be_confirmed_is_given_back_as_it_was_typed(
    alice: Browser,
    garden: str,
    transaction: Transaction,
    world: World,
    wrong: dict[str, Any],
    sentence: str,
) -> None:
    back = await alice.post(f"{garden}/confirmations", data=TYPED | {"role": "kept"} | wrong)
    assert back.status_code == 422
    assert sentence in html.unescape(back.text)
    assert 'value="kept"' in back.text
    async with transaction() as session:
        board = await session.get_one(Board, world.garden.id, populate_existing=True)
    assert board.goal_confirmed is False


async def test_two_that_confirm_one_after_the_other_hear_of_it(
    alice: Browser, bob: Browser, says: Says, here: str, world: World, transaction: Transaction
) -> None:
    await alice.post(here)
    await says(DRAFT)
    seen = seen_on(await alice.get(f"{here}/review"))
    assert (await bob.post(f"{here}/confirmations", data=TYPED | seen)).status_code == 303
    late = TYPED | seen | {"objective": "Mine"}
    back = await alice.post(f"{here}/confirmations", data=late)
    assert (back.status_code, "It was confirmed already." in words_of(back)) == (409, True)
    async with transaction() as session:
        leads = select(Agent).where(Agent.board_id == world.board.id, Agent.is_board_lead)
        assert len((await session.scalars(leads)).all()) == 1


async def test_somebody_who_looks_at_an_old_form_is_told_that_it_went_on(
    alice: Browser, says: Says, here: str
) -> None:
    await alice.post(here)
    old = seen_on(await alice.get(here))
    assert (await alice.post(f"{here}/restarts")).headers["Location"] == here
    back = await alice.post(f"{here}/confirmations", data=TYPED | old)
    assert back.status_code == 409
    assert "Somebody else went on with this onboarding meanwhile." in words_of(back)
    assert "Eleven partners</textarea>" in back.text


async def test_it_is_begun_again_and_given_up(
    bob: Browser, says: Says, here: str, transaction: Transaction
) -> None:
    await bob.post(here)
    await says({"question": "What for?"})
    assert (
        '<dialog class="dlg" id="again" aria-labelledby="again-title">'
        in (await bob.get(here)).text
    )
    assert 'aria-labelledby="again-title" open>' in (await bob.get(f"{here}?again=1")).text
    await bob.post(f"{here}/restarts")
    assert "Thinking about the first question" in (await bob.get(here)).text
    ended = await bob.post(f"{here}/endings")
    assert ended.headers["Location"] == here.removesuffix("/onboarding")
    assert "Let Harbour master ask" in words_of(await bob.get(here))
    assert (await bob.post(f"{here}/endings")).status_code == 409
    async with transaction() as session:
        states = (await session.scalars(select(OnboardingSession.status))).all()
    assert set(states) == {OnboardingStatus.CANCELLED}


async def test_a_confirmed_board_is_asked_about_again_to_change_its_goal(
    alice: Browser, says: Says, here: str
) -> None:
    await alice.post(here)
    await says(DRAFT)
    await alice.post(f"{here}/confirmations", data=TYPED | seen_on(await alice.get(here)))
    page = await alice.get(here)
    assert "Has the goal changed?" in words_of(page)
    assert "Eleven partners</textarea>" in page.text
    assert "Eva leads this board, stays as it is" in words_of(page)
    assert 'name="custom_instructions"' not in page.text
    changed = TYPED | seen_on(page) | {"objective": "Twelve"}
    done = await alice.post(f"{here}/confirmations", data=changed)
    assert done.headers["Location"] == f"{here}/launch"
    assert "Twelve</textarea>" in (await alice.get(here)).text


@pytest.mark.parametrize("content", NONSENSE, ids=lambda content: content[:20] or "nothing")
async def test_no_page_breaks_on_what_is_stored(
    alice: Browser, main: Agent, here: str, transaction: Transaction, world: World, content: str
) -> None:
    """W-40: whatever an agent said, or an installation brought along."""
    await alice.post(here)
    draft: dict[str, Any] = {
        "objective": {"a": [1]},
        "success_metrics": [content.replace("\0", "")],
        "target_date": content[:100],
        "lead_agent": {"name": content[:100], "identity_profile": [content[:9]], "verbosity": 7},
        "user_profile": content[:50],
    }
    async with transaction() as session:
        opened = (await session.scalars(select(OnboardingSession))).one()
        for role in (OnboardingRole.ASSISTANT, OnboardingRole.USER, OnboardingRole.ASSISTANT):
            session.add(
                OnboardingMessage(
                    session_id=opened.id, role=role, content=content, created_at=now()
                )
            )
    page = await alice.get(here)
    assert page.status_code == 200
    assert content.strip()[:200] in html.unescape(page.text)
    async with transaction() as session:
        await session.execute(update(OnboardingSession).values(draft_goal=draft))
        session.add(
            OnboardingMessage(
                session_id=opened.id,
                role=OnboardingRole.ASSISTANT,
                content='{"status": "complete"}',
                created_at=now(),
            )
        )
    for path in (here, f"{here}/review", f"/boards/{world.board.id}"):
        for headers in ({}, HTMX):
            assert (await alice.get(path, headers=headers)).status_code == 200


@pytest.mark.parametrize("draft", [[], "text", 7, {"lead_agent": "Ava", "success_metrics": "many"}])
async def test_a_draft_of_any_kind_is_shown(
    alice: Browser, main: Agent, here: str, transaction: Transaction, draft: Any
) -> None:
    await alice.post(here)
    async with transaction() as session:
        await session.execute(update(OnboardingSession).values(draft_goal=draft))
    for path in (here, f"{here}/review"):
        assert (await alice.get(path)).status_code == 200


PATHS = ["", "/review", "/news", "/launch"]
DEEDS = {
    "": {},
    "/answers": {"question": "0198c7f0-0000-7000-8000-000000000000", "other": "x"},
    "/corrections": {"question": "0198c7f0-0000-7000-8000-000000000000", "other": "x"},
    "/reminders": {},
    "/restarts": {},
    "/endings": {},
    "/additions": {"context": "x"},
    "/confirmations": TYPED,
}


async def test_readers_look_on_and_strangers_find_nothing(
    alice: Browser, rita: Browser, charlie: Browser, says: Says, here: str, transaction: Transaction
) -> None:
    await alice.post(here)
    await says(QUESTION)
    page = await rita.get(here)
    assert "How much may it decide?" in page.text
    assert "Ask an owner to answer." in words_of(page)
    assert "<form" not in page.text.partition('id="content"')[2].partition("</main>")[0]
    for path in PATHS:
        assert (await rita.get(f"{here}{path}")).status_code in (200, 303)
        assert (await charlie.get(f"{here}{path}")).status_code == 404
    async with transaction() as session:
        before = (await session.scalars(select(OnboardingMessage.content))).all()
    for path, typed in DEEDS.items():
        assert (await rita.post(f"{here}{path}", data=typed)).status_code == 403, path
        assert (await charlie.post(f"{here}{path}", data=typed)).status_code == 404, path
    async with transaction() as session:
        assert (await session.scalars(select(OnboardingMessage.content))).all() == before


async def test_an_agent_that_speaks_after_the_end_is_refused(
    alice: Browser, says: Says, here: str
) -> None:
    await alice.post(here)
    await alice.post(f"{here}/endings")
    assert (await says({"question": "Hello?"}, status=409))["code"] == "onboarding_over"
