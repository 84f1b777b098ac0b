"""The review of an onboarding draft, which is confirmed once."""

import html
import re
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Board, OnboardingMessage, OnboardingRole, OnboardingSession
from tests.services.test_onboarding_transcript import UNPARSEABLE
from tests.support.onboarding_forms import (
    DRAFT,
    HTMX,
    QUESTION,
    SUBMITTED,
    Browser,
    PostAgentMessage,
    extract_text,
    parse_hidden_fields,
    parse_question_id,
)
from tests.support.tiers import repetition
from tests.support.world import World
from web.onboarding import views


async def test_the_draft_is_shown_as_a_form_with_a_preview(
    alice: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(QUESTION)
    question = parse_question_id(await alice.get(onboarding_path))
    await alice.post(
        f"{onboarding_path}/answers", data={"question": question, "choice": ["Balanced"]}
    )
    await post_agent_message(DRAFT)
    box = f'data-suggest="board={onboarding_path.split("/")[2]}"'
    assert f'name="other" rows="2" {box}' in (await alice.get(onboarding_path)).text
    assert "The draft is ready." in extract_text(await alice.get(onboarding_path))
    page = await alice.get(f"{onboarding_path}/review")
    assert f'name="context" rows="2" {box}' in page.text
    assert "Harbour master drafted this from your answer" in extract_text(page)
    for shown in (
        ">\nTen partners live</textarea>",
        'name="target" aria-label="Target of measure 2" placeholder="Target" value="10"',
        'value="[&#34;here&#34;]"',
        'value="2027-01-31"',
        'name="name" type="text" dir="auto" value="Ava"',
        'value="Keeper"',
        '<option value="balanced" selected>Decides small things on its own</option>',
        'value="Al"',
        'value="Europe/Lisbon"',
        "tasks need an approval before they are done",
        "AGENTS.md",
        "Creates, assigns, orders and deletes tasks",
        f"workspace-lead-{onboarding_path.split('/')[2]}",
    ):
        assert shown in page.text, shown
    assert "mc_agent_" not in page.text

    assert "You can change this in the settings of the board" in extract_text(page)

    part = await alice.post(f"{onboarding_path}/review", data=SUBMITTED, headers=HTMX)
    assert "<html" not in part.text
    assert "Because Eva decides on its own" in extract_text(part)
    assert "Eleven partners" in part.text
    assert "Harbour adds an entry with the workspace of the agent." in part.text
    assert f'"lead-{onboarding_path.split("/")[2]}": {{' in html.unescape(part.text)
    assert '<ins dir="auto">        "name": "Eva"</ins>' in html.unescape(part.text)
    whole = await alice.post(f"{onboarding_path}/review", data=SUBMITTED)
    assert (whole.status_code, "Eleven partners</textarea>" in whole.text) == (200, True)


async def test_readers_keep_the_preview_of_the_draft_without_a_form(
    alice: Browser, rita: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    for browser, is_writer in ((alice, True), (rita, False)):
        page = await browser.get(f"{onboarding_path}/review")
        assert "Because Ava does not decide" in extract_text(page)
        preview = page.text.partition('id="preview"')[2].partition("</section>")[0]
        for named in ("hx-post", "hx-include", "hx-trigger", 'form="wanted"', "the form above"):
            assert (named in preview) is is_writer, (named, is_writer)


NO_PREVIEW = "There is no preview, because"


@pytest.mark.parametrize("headers", [HTMX, {}], ids=["part", "page"])
async def test_a_missing_preview_names_the_fields_that_are_not_valid(
    alice: Browser, onboarding_path: str, headers: dict[str, str]
) -> None:
    await alice.post(onboarding_path)
    wrong = SUBMITTED | {"timezone": "Berlin"}
    page = await alice.post(f"{onboarding_path}/review", data=wrong, headers=headers)
    preview = extract_text(page).partition("What the lead gets")[2]
    assert f"{NO_PREVIEW} a field of the form is not valid:" in preview
    assert "Time zone : Choose one from the list, like Europe/Berlin." in preview
    wrong |= {"target_date": "soon"}
    page = await alice.post(f"{onboarding_path}/review", data=wrong, headers=headers)
    preview = extract_text(page).partition("What the lead gets")[2]
    assert f"{NO_PREVIEW} fields of the form are not valid: Target date :" in preview


async def test_readers_are_told_about_the_draft_and_not_about_a_form(
    alice: Browser, rita: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    profile = {"timezone": "Berlin"}
    await post_agent_message(DRAFT | {"user_profile": profile})
    page = extract_text(await rita.get(f"{onboarding_path}/review"))
    assert f"{NO_PREVIEW} some values of the draft are not valid." in page
    assert "Nothing starts until the board is launched." in page
    for untrue in ("You can change everything", "You review it", "field"):
        assert untrue not in page
    page = extract_text(await alice.get(f"{onboarding_path}/review"))
    assert "Time zone : Choose one from the list" in page
    assert "You can change everything" in page


async def test_readers_are_told_of_values_that_are_not_valid_only_if_there_are_some(
    alice: Browser, rita: Browser, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    page = await rita.post(f"{onboarding_path}/review", data={"last": "x"}, headers=HTMX)
    assert "There is no preview." in extract_text(page)
    assert NO_PREVIEW not in extract_text(page)


@pytest.mark.parametrize("headers", [HTMX, {}], ids=["part", "page"])
async def test_a_preview_is_built_whenever_it_is_requested(
    alice: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    headers: dict[str, str],
) -> None:
    """Also for the same content in the same form, which is confirmed only once."""
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    form = SUBMITTED | {"form_id": "0" * 32}
    for rule in ("Because Eva decides on its own", "Because Eva does not decide") * 2:
        level = "autonomous" if "on its own" in rule else "balanced"
        page = await alice.post(
            f"{onboarding_path}/review", data=form | {"autonomy_level": level}, headers=headers
        )
        assert "HX-Refresh" not in page.headers
        assert rule in extract_text(page)
    page = await alice.get(f"{onboarding_path}/review")
    form |= parse_hidden_fields(page)
    answers = [await alice.post(f"{onboarding_path}/confirmations", data=form) for _ in range(2)]
    assert {one.headers["Location"] for one in answers} == {f"{onboarding_path}/launch"}


async def test_a_preview_that_failed_can_be_requested_again(
    alice: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise ConnectionError

    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    form = SUBMITTED | {"form_id": "0" * 32}
    with monkeypatch.context() as broken:
        broken.setattr(views, "_render_review", fail)
        assert (await alice.post(f"{onboarding_path}/review", data=form)).status_code == 503
    assert (await alice.post(f"{onboarding_path}/review", data=form)).status_code == 200


async def test_additional_context_requests_a_new_draft(
    bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message(DRAFT)
    empty = await bob.post(f"{onboarding_path}/additions", data={"context": " "})
    assert (empty.status_code, "Enter a value." in empty.text) == (422, True)
    sent = await bob.post(f"{onboarding_path}/additions", data={"context": "Ask Ann first."})
    assert sent.headers["Location"] == onboarding_path
    page = await bob.get(onboarding_path)
    assert "Writing the draft" in page.text
    assert "You added Ask Ann first." in extract_text(page)
    mark = re.search(r'news\?seen=([^"]*)"', (await bob.get(f"{onboarding_path}/review")).text)
    assert mark
    quiet = await bob.get(f"{onboarding_path}/news?seen={html.unescape(mark[1])}", headers=HTMX)
    assert "a new draft" not in quiet.text
    await post_agent_message(DRAFT | {"objective": "Ten, after Ann"})
    loud = await bob.get(f"{onboarding_path}/news?seen={html.unescape(mark[1])}", headers=HTMX)
    assert "has written a new draft" in loud.text


async def test_only_others_are_told_that_the_goal_was_confirmed_meanwhile(
    alice: Browser, bob: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    page = await alice.get(f"{onboarding_path}/review")
    await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED | parse_hidden_fields(page))
    news = f"{onboarding_path}/news?seen=earlier"
    [own, others] = [(await one.get(news, headers=HTMX)).text for one in (alice, bob)]
    assert ("You have launched the board." in own, "meanwhile" in own) == (True, False)
    assert ("You have launched the board." in others, "meanwhile" in others) == (False, True)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"objective": " "}, "A goal needs an objective."),
        ({"measure": [], "target": []}, "A goal needs measures"),
        ({"target_date": "soon"}, "Write a date like 2026-12-24."),
        ({"target_date": "9999-12-31"}, "Choose a year from"),
        ({"target_date": "0001-01-01"}, "Choose a year from"),
        ({"board_type": "x"}, ""),
        ({"name": "x" * 150}, "At most 100 characters."),
        ({"name": "a\0b"}, "cannot be stored"),
        ({"verbosity": "chatty"}, "Choose one of those that are offered."),
        ({"timezone": "Mars"}, "Choose one from the list"),
        ({"custom_instructions": "y" * 70_000}, ""),
        ({"last": "nothing"}, ""),
    ],
)
async def test_an_invalid_goal_keeps_the_submitted_values(
    alice: Browser,
    garden_onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
    wrong: dict[str, Any],
    sentence: str,
) -> None:
    back = await alice.post(
        f"{garden_onboarding_path}/confirmations", data=SUBMITTED | {"role": "kept"} | wrong
    )
    assert back.status_code == 422
    assert sentence in html.unescape(back.text)
    assert 'value="kept"' in back.text
    async with transaction() as session:
        board = await session.get_one(Board, world.garden.id, populate_existing=True)
    assert board.goal_confirmed is False


async def test_a_second_confirmation_is_reported(
    alice: Browser,
    bob: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    seen_fields = parse_hidden_fields(await alice.get(f"{onboarding_path}/review"))
    assert (
        await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED | seen_fields)
    ).status_code == 303
    late = SUBMITTED | seen_fields | {"objective": "Mine"}
    back = await bob.post(f"{onboarding_path}/confirmations", data=late)
    assert (back.status_code, "The objective was already confirmed." in extract_text(back)) == (
        409,
        True,
    )
    async with transaction() as session:
        leads = select(Agent).where(Agent.board_id == world.board.id, Agent.is_board_lead)
        assert len((await session.scalars(leads)).all()) == 1


async def test_an_outdated_form_shows_a_notice(
    alice: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    old = parse_hidden_fields(await alice.get(onboarding_path))
    assert (await alice.post(f"{onboarding_path}/restarts")).headers["Location"] == onboarding_path
    back = await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED | old)
    assert back.status_code == 409
    assert "Somebody else continued this setup meanwhile." in extract_text(back)
    assert "Eleven partners</textarea>" in back.text


@pytest.mark.parametrize(
    "content",
    [
        content if number % 5 == 0 else pytest.param(content, marks=repetition)
        for number, content in enumerate(UNPARSEABLE)
    ],
    ids=lambda content: content[:20] or "nothing",
)
async def test_pages_show_any_stored_conversation(
    alice: Browser,
    main_agent: Agent,
    onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
    content: str,
) -> None:
    """W-40: whatever an agent wrote or an installation imported."""
    await alice.post(onboarding_path)
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
    page = await alice.get(onboarding_path)
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
    for path in (onboarding_path, f"{onboarding_path}/review", f"/boards/{world.board.id}"):
        for headers in ({}, HTMX):
            assert (await alice.get(path, headers=headers)).status_code == 200


@pytest.mark.parametrize("draft", [[], "text", 7, {"lead_agent": "Ava", "success_metrics": "many"}])
async def test_a_draft_of_any_format_is_shown(
    alice: Browser,
    main_agent: Agent,
    onboarding_path: str,
    transaction: TransactionFactory,
    draft: Any,
) -> None:
    await alice.post(onboarding_path)
    async with transaction() as session:
        await session.execute(update(OnboardingSession).values(draft_goal=draft))
    for path in (onboarding_path, f"{onboarding_path}/review"):
        assert (await alice.get(path)).status_code == 200
