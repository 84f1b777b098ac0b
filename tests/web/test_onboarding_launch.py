"""Setting up a board ends: it is launched with its lead, or given up, and can be begun again."""

import re

from sqlalchemy import select, update

from kit.clock import now
from models import Agent, Board, OnboardingSession, OnboardingStatus, Step
from tests.conftest import Transaction
from tests.web.conftest import Browsers
from tests.web.onboarding import DRAFT, HTMX, TYPED, Browser, Says, seen_on, words_of
from tests.world import World


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


async def test_an_agent_that_speaks_after_the_end_is_refused(
    alice: Browser, says: Says, here: str
) -> None:
    await alice.post(here)
    await alice.post(f"{here}/endings")
    assert (await says({"question": "Hello?"}, status=409))["code"] == "onboarding_over"
