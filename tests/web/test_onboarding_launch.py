"""The end of an onboarding: launch, cancellation, restart."""

import re

from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Board, OnboardingSession, OnboardingStatus, ProvisioningStep, User
from tests.support.onboarding_forms import (
    DRAFT,
    HTMX,
    SUBMITTED,
    Browser,
    PostAgentMessage,
    extract_text,
    parse_hidden_fields,
)
from tests.support.world import World
from tests.web.conftest import Browsers


async def test_the_confirmed_goal_combines_form_and_draft(
    alice: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    page = await alice.get(f"{onboarding_path}/review")
    typed = SUBMITTED | {
        **parse_hidden_fields(page),
        "measure": ["Partners live", "Where"],
        "target": ["11", '["here"]'],
    }
    done = await alice.post(f"{onboarding_path}/confirmations", data=typed)
    assert (done.status_code, done.headers["Location"]) == (303, f"{onboarding_path}/launch")
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
    await post_agent_message({"question": "Too late?"}, status=409)
    launch = await alice.get(f"{onboarding_path}/launch")
    assert "Eva is starting." in extract_text(launch)
    assert "Eva is created on Harbour" in extract_text(launch)
    assert "<html" not in (await alice.get(f"{onboarding_path}/launch", headers=HTMX)).text


async def test_the_confirmation_stores_the_profile_of_the_person(
    alice: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    fields = parse_hidden_fields(await alice.get(f"{onboarding_path}/review"))
    profile = {"preferred_name": "Ally", "timezone": "Europe/Lisbon", "pronouns": "she"}
    sent = await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED | fields | profile)
    assert sent.status_code == 303
    async with transaction() as session:
        user = await session.get_one(User, world.alice.id, populate_existing=True)
    assert (user.preferred_name, user.timezone, user.pronouns) == ("Ally", "Europe/Lisbon", "she")


async def test_a_failed_launch_shows_the_reason_and_a_retry(
    alice: Browser,
    bob: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    seen_fields = parse_hidden_fields(await alice.get(onboarding_path))
    await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED | seen_fields)
    failure = {"step": "files", "code": "no_room", "reason": "No room.", "command": "df -h"}
    failure["at"] = now().isoformat()
    of_lead = (Agent.board_id == world.board.id) & Agent.is_board_lead
    async with transaction() as session:
        failed = {"step": ProvisioningStep.FILES, "provision_failure": failure}
        await session.execute(update(Agent).where(of_lead).values(**failed))
    page = await alice.get(f"{onboarding_path}/launch")
    assert "Eva could not be started." in extract_text(page)
    for words in ("Its files are written No room.", "df -h", "Try again"):
        assert words in extract_text(page)
    assert "Try again" not in extract_text(await bob.get(f"{onboarding_path}/launch"))
    again = re.findall(r'action="(/agents/[\w-]+/provisionings)"', page.text)[0]
    assert (await alice.post(again, data={"wake": "on"})).status_code == 303
    assert "Eva is starting." in extract_text(
        await alice.get(f"{onboarding_path}/launch", headers=HTMX)
    )


async def test_without_an_agent_the_launch_shows_the_token_once(
    alice: Browser, browsers: Browsers, garden_onboarding_path: str
) -> None:
    review = await alice.post(f"{garden_onboarding_path}/review", data=SUBMITTED)
    assert review.status_code == 200
    assert "No gateway runs it, so no files are written" in extract_text(review)
    done = await alice.post(f"{garden_onboarding_path}/confirmations", data=SUBMITTED)
    assert done.status_code == 200
    token = re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', done.text)[0]
    assert "Eva can call the API now." in extract_text(done)
    again = await alice.get(f"{garden_onboarding_path}/launch")
    assert token not in again.text
    assert "first call.</b>" in again.text
    headers = {"Authorization": f"Bearer {token}"}
    assert (
        await browsers(None).post("/api/v1/agent/heartbeat", headers=headers)
    ).status_code == 200
    assert "Eva is connected." in extract_text(
        await alice.get(f"{garden_onboarding_path}/launch", headers=HTMX)
    )

    late = await alice.post(f"{garden_onboarding_path}/confirmations", data=SUBMITTED)
    assert late.status_code == 409
    assert "The objective was already confirmed." in extract_text(late)
    assert token not in late.text


async def test_a_launch_without_its_lead_says_so(
    alice: Browser, garden_onboarding_path: str, transaction: TransactionFactory, world: World
) -> None:
    await alice.post(f"{garden_onboarding_path}/confirmations", data=SUBMITTED)
    async with transaction() as session:
        leads = select(Agent).where(Agent.board_id == world.garden.id, Agent.is_board_lead)
        await session.delete((await session.scalars(leads)).one())
    for headers in ({}, HTMX):
        page = await alice.get(f"{garden_onboarding_path}/launch", headers=headers)
        assert page.status_code == 200
        assert "The board no longer has a lead." in extract_text(page)


async def test_a_member_creates_no_lead_and_never_sees_its_token(
    alice: Browser,
    bob: Browser,
    onboarding_path: str,
    transaction: TransactionFactory,
    world: World,
) -> None:
    async with transaction() as session:
        await session.delete(await session.get_one(Agent, world.lead.id))
    review = await bob.get(f"{onboarding_path}/review")
    assert "Only an admin can do that" in extract_text(review)
    assert "Launch the board" not in review.text
    refused = await bob.post(f"{onboarding_path}/confirmations", data=SUBMITTED)
    assert refused.status_code == 403
    assert "only an admin creates one" in extract_text(refused)
    done = await alice.post(f"{onboarding_path}/confirmations", data=SUBMITTED)
    assert done.status_code == 200
    page = await bob.get(f"{onboarding_path}/launch")
    assert "Eva needs a token to call the API. An admin can create it" in extract_text(page)
    assert "mc_agent_" not in page.text


async def test_the_onboarding_is_restarted_and_cancelled(
    bob: Browser,
    post_agent_message: PostAgentMessage,
    onboarding_path: str,
    transaction: TransactionFactory,
) -> None:
    await bob.post(onboarding_path)
    await post_agent_message({"question": "What for?"})
    assert (
        '<dialog class="dlg" id="again" aria-labelledby="again-title">'
        in (await bob.get(onboarding_path)).text
    )
    assert (
        'aria-labelledby="again-title" open>' in (await bob.get(f"{onboarding_path}?again=1")).text
    )
    await bob.post(f"{onboarding_path}/restarts")
    assert "Thinking about the first question" in (await bob.get(onboarding_path)).text
    ended = await bob.post(f"{onboarding_path}/endings")
    assert ended.headers["Location"] == onboarding_path.removesuffix("/onboarding")
    assert "Answer questions from Harbour master" in extract_text(await bob.get(onboarding_path))
    assert (await bob.post(f"{onboarding_path}/endings")).status_code == 409
    async with transaction() as session:
        states = (await session.scalars(select(OnboardingSession.status))).all()
    assert set(states) == {OnboardingStatus.CANCELLED}


async def test_a_confirmed_goal_can_be_changed_by_a_new_interview(
    alice: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    await post_agent_message(DRAFT)
    await alice.post(
        f"{onboarding_path}/confirmations",
        data=SUBMITTED | parse_hidden_fields(await alice.get(onboarding_path)),
    )
    page = await alice.get(onboarding_path)
    assert "Has the objective changed?" in extract_text(page)
    assert "Eleven partners</textarea>" in page.text
    assert "Eva leads this board. It is not changed" in extract_text(page)
    assert 'name="custom_instructions"' not in page.text
    changed = SUBMITTED | parse_hidden_fields(page) | {"objective": "Twelve"}
    done = await alice.post(f"{onboarding_path}/confirmations", data=changed)
    assert done.headers["Location"] == f"{onboarding_path}/launch"
    assert "Twelve</textarea>" in (await alice.get(onboarding_path)).text


async def test_an_agent_message_after_the_end_is_rejected(
    alice: Browser, post_agent_message: PostAgentMessage, onboarding_path: str
) -> None:
    await alice.post(onboarding_path)
    await alice.post(f"{onboarding_path}/endings")
    assert (await post_agent_message({"question": "Hello?"}, status=409))[
        "code"
    ] == "onboarding_ended"
