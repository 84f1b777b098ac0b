"""What an agent drafts of a board is a form, which is looked at and confirmed once."""

import html
import re
from typing import Any

import pytest
from sqlalchemy import select, update

from kit.clock import now
from models import Agent, Board, OnboardingMessage, OnboardingRole, OnboardingSession
from tests.conftest import Transaction
from tests.services.test_onboarding_transcripts import NONSENSE
from tests.web.onboarding import (
    DRAFT,
    HTMX,
    QUESTION,
    TYPED,
    Browser,
    Says,
    asked_in,
    seen_on,
    words_of,
)
from tests.world import World


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
    assert "Harbour master drafted this from your answer" in words_of(page)
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

    assert "You can change that in the board" in words_of(page)

    part = await alice.post(f"{here}/review", data=TYPED, headers=HTMX)
    assert "<html" not in part.text
    assert "Because Eva decides on its own" in words_of(part)
    assert "Eleven partners" in part.text
    whole = await alice.post(f"{here}/review", data=TYPED)
    assert (whole.status_code, "Eleven partners</textarea>" in whole.text) == (200, True)


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
