"""The interview of a board's onboarding."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway, Message, MessageState, OnboardingMessage, OnboardingSession
from tests.support.onboarding_forms import (
    HTMX,
    QUESTION,
    SUBMITTED,
    Browser,
    PostAgentMessage,
    extract_text,
    parse_question_id,
)


async def waiting_for(
    transaction: TransactionFactory, seconds: float, **message_fields: Any
) -> None:
    """Move the last message into the past, and set the state of its delivery."""
    async with transaction() as session:
        then = now() - timedelta(seconds=seconds)
        await session.execute(update(OnboardingMessage).values(created_at=then))
        await session.execute(update(OnboardingSession).values(created_at=then))
        if message_fields:
            await session.execute(update(Message).values(**message_fields))


async def test_a_new_board_on_a_gateway_starts_the_interview(
    alice: Browser, main_agent: Agent, transaction: TransactionFactory
) -> None:
    form = await alice.get("/boards/new")
    assert f'name="gateway_id" value="{main_agent.gateway_id}"' in form.text
    new = {"name": "Docs", "description": "All words", "gateway_id": str(main_agent.gateway_id)}
    made = await alice.post("/boards", data=new)
    where = made.headers["Location"]
    assert re.fullmatch(r"/boards/[\w-]+/onboarding", where)
    page = await alice.get(where)
    assert "Harbour master is setting up Docs ." in extract_text(page)
    assert "Thinking about the first question" in page.text
    async with transaction() as session:
        sent = await session.scalar(select(Message).where(Message.agent_id == main_agent.id))
    assert sent is not None
    assert sent.kind == "BOARD ONBOARDING REQUEST"


async def test_a_board_without_a_gateway_shows_the_form(
    alice: Browser, garden_onboarding_path: str
) -> None:
    page = await alice.get(garden_onboarding_path)
    assert page.status_code == 200
    assert "Set the objective and the lead" in extract_text(page)
    assert f'action="{garden_onboarding_path}/review"' in page.text
    assert 'id="talk"' not in page.text


async def test_questions_are_answered_one_by_one_and_stay_visible(
    bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    assert "Answer questions from Harbour master" in extract_text(await bob.get(onboarding_path))
    assert (await bob.post(onboarding_path)).headers["Location"] == onboarding_path
    await post_agent_message({"question": "What for?"})
    page = await bob.get(onboarding_path)
    first = parse_question_id(page)
    assert "Answer in your own words." in extract_text(page)
    response = await bob.post(
        f"{onboarding_path}/answers", data={"question": first, "other": "Partners & <b>"}
    )
    assert response.headers["Location"] == onboarding_path
    assert "Thinking about the next question" in (await bob.get(onboarding_path)).text

    await post_agent_message(QUESTION)
    page = await bob.get(onboarding_path)
    assert "What for? Partners & <b> Change" in extract_text(page)
    assert "Question 2 of 6 to 10." in extract_text(page)
    assert page.text.count('type="checkbox" name="choice"') == 3
    assert page.text.count("data-types") == 1
    chosen = {"choice": ["Balanced", QUESTION["options"][2]], "other": "No e-mails"}
    part = await bob.post(
        f"{onboarding_path}/answers",
        data=chosen | {"question": parse_question_id(page)},
        headers=HTMX,
    )
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "Balanced: No e-mails" in extract_text(part)
    assert 'id="brief" hx-swap-oob="outerMorph"' in part.text


async def test_text_in_a_closed_field_does_not_count(
    bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await bob.get(onboarding_path))
    typed = {"question": question, "choice": ["Balanced"], "other": "Never mind"}
    await bob.post(f"{onboarding_path}/answers", data=typed)
    assert "Never mind" not in (await bob.get(onboarding_path)).text


async def test_a_question_can_be_answered_with_free_text(
    bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message({"question": "Which?", "options": ["A", "B"]})
    page = await bob.get(onboarding_path)
    assert "Something else, in my own words" in page.text
    typed = {"question": parse_question_id(page), "choice": ["own"], "other": "Neither"}
    part = await bob.post(f"{onboarding_path}/answers", data=typed, headers=HTMX)
    assert "Which? Neither Change" in extract_text(part)


@pytest.mark.parametrize(
    "typed",
    [{}, {"choice": [""]}, {"choice": ["own"], "other": " "}, {"other": "a\0b"}],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_an_empty_answer_is_rejected(
    bob: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    typed: dict[str, Any],
    headers: dict[str, str],
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await bob.get(onboarding_path))
    back = await bob.post(
        f"{onboarding_path}/answers", data=typed | {"question": question}, headers=headers
    )
    assert back.status_code == 422
    assert 'aria-invalid="true"' in back.text
    assert ("HX-Retarget" in back.headers) is bool(headers)
    assert "Question 1 of 6 to 10." in extract_text(await bob.get(onboarding_path))


@pytest.mark.parametrize("more", [[], ["Balanced"]])
async def test_a_free_text_option_needs_text(
    bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str, more: list[str]
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await bob.get(onboarding_path))
    empty = {"question": question, "choice": [QUESTION["options"][2], *more], "other": " "}
    for headers in ({}, HTMX):
        back = await bob.post(f"{onboarding_path}/answers", data=empty, headers=headers)
        assert back.status_code == 422
        assert "Enter your answer." in extract_text(back)
        assert 'aria-invalid="true"' in back.text
    assert "Question 1 of 6 to 10." in extract_text(await bob.get(onboarding_path))


async def test_an_answer_in_a_second_tab_is_reported_and_kept(
    alice: Browser, bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await bob.get(onboarding_path))
    await alice.post(
        f"{onboarding_path}/answers", data={"question": question, "choice": ["Asks first"]}
    )
    late = {"question": question, "choice": ["Balanced"]}
    for headers in ({}, HTMX):
        back = await bob.post(f"{onboarding_path}/answers", data=late, headers=headers)
        assert back.status_code == 409
        assert "It was answered meanwhile: “Asks first”." in html.unescape(back.text)
        changing = re.search(rf'<details[^>]*id="change-{question}"[^>]* open>', back.text)
        assert changing  # the selected option can be sent as a correction
        assert 'value="Balanced" checked' in back.text

    await post_agent_message({"question": "When?"})
    await post_agent_message({"question": "By when?"})
    passed = re.findall(r"Not answered", (await bob.get(onboarding_path)).text)
    assert len(passed) == 1
    stale = await bob.post(f"{onboarding_path}/answers", data={"question": question, "other": "x"})
    assert stale.status_code == 409
    nonsense = await bob.post(
        f"{onboarding_path}/answers", data={"question": "what?", "other": "x"}
    )
    assert nonsense.status_code == 422


async def test_an_answer_can_be_corrected(
    bob: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await bob.get(onboarding_path))
    await bob.post(
        f"{onboarding_path}/answers", data={"question": question, "choice": ["Asks first"]}
    )
    await post_agent_message({"question": "When?"})
    page = await bob.get(onboarding_path)
    assert 'value="Asks first" checked' in page.text
    changed = {"question": question, "choice": ["Balanced"]}
    part = await bob.post(f"{onboarding_path}/corrections", data=changed, headers=HTMX)
    assert "Balanced changed" in extract_text(part)
    assert "When?" in extract_text(part)
    assert parse_question_id(part) != question
    empty = await bob.post(f"{onboarding_path}/corrections", data={"question": question})
    assert empty.status_code == 422
    unknown = await bob.post(
        f"{onboarding_path}/corrections",
        data={"question": parse_question_id(part), "other": "Soon"},
    )
    assert unknown.status_code == 404
    async with transaction() as session:
        response = select(OnboardingMessage.content).order_by(OnboardingMessage.seq)
        kept = (await session.scalars(response)).all()
    assert "Asks first" in kept
    assert kept[-1] == "Correction to “How much may it decide?”: Balanced"


@pytest.mark.parametrize(
    ("seconds", "says_so", "does_not"),
    [
        (3, ["Thinking about the first question", "Waiting since"], ["longer than", "Ask again"]),
        (
            25,
            ["That is longer than usual.", "25 s", "Ask again", "Check the gateway"],
            ["does not answer"],
        ),
        (75, ["1 min", "does not answer.", "Fill in the form", "Ask again"], []),
    ],
)
async def test_the_wait_shows_its_duration_and_other_options(
    alice: Browser,
    main_agent: Agent,
    onboarding_path: str,
    transaction: TransactionFactory,
    seconds: int,
    says_so: list[str],
    does_not: list[str],
) -> None:
    """W-40, and 60 seconds."""
    await alice.post(onboarding_path)
    await waiting_for(transaction, seconds, state=MessageState.SENT, sent_at=now())
    for headers in ({}, HTMX):
        page = await alice.get(onboarding_path, headers=headers)
        for words in [*says_so, "Harbour master received the message at"]:
            assert words in extract_text(page)
        for words in does_not:
            assert words not in extract_text(page)
    assert f'href="/gateways/{main_agent.gateway_id}"' in page.text or seconds == 3


async def stands(transaction: TransactionFactory, *checks: dict[str, str]) -> None:
    """Let a worker be connected to every gateway, and have seen this."""
    async with transaction() as session:
        held = now() + timedelta(minutes=1)
        connection = {"checks": list(checks), "lease_holder": "a worker", "lease_expires_at": held}
        await session.execute(update(Gateway).values(connection))


async def test_an_unreachable_gateway_is_reported_with_the_form(
    alice: Browser, main_agent: Agent, onboarding_path: str, transaction: TransactionFactory
) -> None:
    await alice.post(onboarding_path)
    await stands(transaction, {"name": "port", "state": "failed", "sentence": "Nobody listens."})
    page = await alice.get(onboarding_path)
    for words in (
        "The first question comes when the gateway is connected again",
        "Harbour is not connected: No answer.",
        "The gateway is not connected.",
        "Fill in the form",
        "Check the gateway",
    ):
        assert words in extract_text(page)
    assert "Thinking about" not in page.text
    assert 'class="typing"' not in page.text


async def test_a_failed_agent_on_a_working_gateway_is_linked(
    alice: Browser, main_agent: Agent, onboarding_path: str, transaction: TransactionFactory
) -> None:
    await alice.post(onboarding_path)
    await stands(transaction, {"name": "port", "state": "ok", "sentence": "It answers."})
    failed = {"state": MessageState.FAILED, "last_error": "The model failed."}
    await waiting_for(transaction, 30, **failed)
    page = await alice.get(onboarding_path)
    assert "Check the gateway" not in extract_text(page)
    assert f'href="/agents/{main_agent.id}"' in page.text


@pytest.mark.parametrize(
    ("message_fields", "words", "is_sent_again"),
    [
        ({"state": MessageState.QUEUED}, "has not received the message yet", False),
        ({"state": MessageState.ACKNOWLEDGED, "acknowledged_at": now()}, "since", True),
        (
            {"state": MessageState.FAILED, "last_error": "The gateway was away."},
            "could not be delivered: The gateway was away.",
            True,
        ),
    ],
)
async def test_the_delivery_state_of_the_message_is_shown(
    bob: Browser,
    main_agent: Agent,
    onboarding_path: str,
    transaction: TransactionFactory,
    message_fields: dict[str, Any],
    words: str,
    is_sent_again: bool,
) -> None:
    await bob.post(onboarding_path)
    await waiting_for(transaction, 30, **message_fields)
    page = await bob.get(onboarding_path)
    assert words in extract_text(page)
    assert "Ask again" in page.text
    assert "An admin can check the gateway Harbour." in extract_text(page)
    assert (await bob.post(f"{onboarding_path}/reminders")).headers["Location"] == onboarding_path
    async with transaction() as session:
        sent = (
            await session.scalars(select(Message).where(Message.agent_id == main_agent.id))
        ).all()
    assert len(sent) == 1 + is_sent_again


PATHS = ["", "/review", "/news", "/launch"]
DEEDS = {
    "": {},
    "/answers": {"question": "0198c7f0-0000-7000-8000-000000000000", "other": "x"},
    "/corrections": {"question": "0198c7f0-0000-7000-8000-000000000000", "other": "x"},
    "/reminders": {},
    "/restarts": {},
    "/endings": {},
    "/additions": {"context": "x"},
    "/confirmations": SUBMITTED,
}


async def test_readers_see_the_onboarding_and_others_do_not(
    alice: Browser,
    rita: Browser,
    charlie: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(QUESTION)
    page = await rita.get(onboarding_path)
    assert "How much may it decide?" in page.text
    assert "You can read this board but not change it." in extract_text(page)
    assert "<form" not in page.text.partition('id="content"')[2].partition("</main>")[0]
    for path in PATHS:
        assert (await rita.get(f"{onboarding_path}{path}")).status_code in (200, 303)
        assert (await charlie.get(f"{onboarding_path}{path}")).status_code == 404
    async with transaction() as session:
        before = (await session.scalars(select(OnboardingMessage.content))).all()
    for path, typed in DEEDS.items():
        assert (await rita.post(f"{onboarding_path}{path}", data=typed)).status_code == 403, path
        assert (await charlie.post(f"{onboarding_path}{path}", data=typed)).status_code == 404, path
    async with transaction() as session:
        assert (await session.scalars(select(OnboardingMessage.content))).all() == before
