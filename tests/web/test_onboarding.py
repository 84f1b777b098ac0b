"""Setting up a board on its pages: an agent asks, one question after the other."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from kit.clock import now
from models import Agent, Gateway, Message, MessageState, OnboardingMessage, OnboardingSession
from tests.conftest import Transaction
from tests.web.onboarding import HTMX, QUESTION, TYPED, Browser, Says, asked_in, words_of


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


@pytest.mark.parametrize("more", [[], ["Balanced"]])
async def test_an_option_that_asks_for_words_is_no_answer_without_them(
    bob: Browser, says: Says, here: str, more: list[str]
) -> None:
    await bob.post(here)
    await says(QUESTION)
    question = asked_in(await bob.get(here))
    empty = {"question": question, "choice": [QUESTION["options"][2], *more], "other": " "}
    for headers in ({}, HTMX):
        back = await bob.post(f"{here}/answers", data=empty, headers=headers)
        assert back.status_code == 422
        assert "Type it." in words_of(back)
        assert 'aria-invalid="true"' in back.text
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


async def stands(transaction: Transaction, *checks: dict[str, str]) -> None:
    """Let a worker be connected to every gateway, and have seen this."""
    async with transaction() as session:
        held = now() + timedelta(minutes=1)
        there = {"checks": list(checks), "held_by": "a worker", "held_until": held}
        await session.execute(update(Gateway).values(there))


async def test_that_the_gateway_is_away_is_said_at_once_with_the_form_instead(
    alice: Browser, main: Agent, here: str, transaction: Transaction
) -> None:
    await alice.post(here)
    await stands(transaction, {"name": "port", "state": "failed", "sentence": "Nobody listens."})
    page = await alice.get(here)
    for words in (
        "The first question comes when the gateway is back",
        "Harbour is not connected: nobody answers.",
        "The gateway is away.",
        "Fill in the form",
        "Check the gateway",
    ):
        assert words in words_of(page)
    assert "Thinking about" not in page.text
    assert 'class="typing"' not in page.text


async def test_who_fails_on_a_gateway_that_is_well_is_looked_at_itself(
    alice: Browser, main: Agent, here: str, transaction: Transaction
) -> None:
    await alice.post(here)
    await stands(transaction, {"name": "port", "state": "ok", "sentence": "It answers."})
    failed = {"state": MessageState.FAILED, "last_error": "The model failed."}
    await waiting_for(transaction, 30, **failed)
    page = await alice.get(here)
    assert "Check the gateway" not in words_of(page)
    assert f'href="/agents/{main.id}"' in page.text


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
    assert "Whoever may change it can answer." in words_of(page)
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
