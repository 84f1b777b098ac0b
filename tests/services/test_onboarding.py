"""The onboarding conversation and its confirmation, without the API."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, NotFound
from models import (
    Agent,
    Board,
    Event,
    EventType,
    Message,
    MessageState,
    OnboardingSession,
    OnboardingStatus,
    User,
    new_id,
)
from services import boards, onboarding
from services.onboarding import ExpectedState, OnboardingGoal
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World

BASE_URL = "http://mission.test"
GOAL = OnboardingGoal(board_type="goal", objective="Launch", success_metrics={"visitors": "1,000"})


@pytest.fixture
async def main(session: AsyncSession, world: World) -> Agent:
    """The main agent of the gateway of the board Launch."""
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    rows = make_main_agent(gateway)
    session.add_all(rows)
    board = await session.get_one(Board, world.board.id)
    board.gateway_id = gateway.id
    await session.flush()
    return rows[0]


async def lock_launch(session: AsyncSession, user: User, world: World) -> Board:
    return await boards.lock_board(session, user, world.board.id)


async def outbox(session: AsyncSession, agent: Agent) -> list[Message]:
    query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
    return list(await session.scalars(query))


async def ask(session: AsyncSession, main: Agent, board: Board, *questions: str) -> list[UUID]:
    """Ask questions as the agent, and return the ids of all questions."""
    for words in questions:
        conversation = await onboarding.ask_question(session, main, board, {"question": words})
    return [one.id for one in conversation.transcript.exchanges]


async def test_a_conflict_contains_the_answer_that_was_given_meanwhile(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    [what] = await ask(session, main, board, "What?")
    await onboarding.answer_question(session, world.alice, board, "A site", question_id=what)
    with pytest.raises(Conflict) as error:
        await onboarding.answer_question(session, world.bob, board, "A shop", question_id=what)
    assert error.value.code == "onboarding_question_answered"
    assert error.value.details["answer"] == "A site"


async def test_an_answer_to_a_skipped_question_is_rejected(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    [what, _] = await ask(session, main, board, "What?", "When?")
    for id in (what, new_id()):
        with pytest.raises(Conflict) as error:
            await onboarding.answer_question(session, world.bob, board, "A shop", question_id=id)
        assert error.value.code == "onboarding_question_replaced"


async def test_a_correction_is_added_and_sent_to_the_agent(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    [what] = await ask(session, main, board, "What?")
    await onboarding.answer_question(session, world.bob, board, "A site")
    await ask(session, main, board, "When?")
    conversation = await onboarding.correct_answer(
        session, world.bob, board, "Other", question_id=what, other="A shop "
    )

    assert [one.answer for one in conversation.transcript.exchanges] == ["Other: A shop", None]
    assert [one.content for one in conversation.messages if one.content == "A site"]  # it remains
    assert conversation.waiting_for == "person"
    last = (await outbox(session, main))[-1]
    assert "Correction to “What?”: Other: A shop" in last.content

    same = await onboarding.correct_answer(
        session, world.bob, board, "Other", question_id=what, other="A shop"
    )
    assert len(same.messages) == len(conversation.messages)


async def test_only_answered_questions_can_be_corrected(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    [what] = await ask(session, main, board, "What?")
    for id in (what, new_id()):
        with pytest.raises(NotFound):
            await onboarding.correct_answer(session, world.bob, board, "A shop", question_id=id)


async def test_a_correction_after_a_draft_requests_a_new_draft(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    [what] = await ask(session, main, board, "What?")
    await onboarding.answer_question(session, world.bob, board, "A site")
    await onboarding.submit_draft(
        session, main, board, {"status": "complete", "board_type": "general"}
    )
    conversation = await onboarding.correct_answer(
        session, world.bob, board, "A shop", question_id=what
    )
    assert (conversation.session.status, conversation.waiting_for) == (
        OnboardingStatus.ACTIVE,
        "agent",
    )


async def test_a_reminder_is_sent_unless_a_message_is_still_queued(
    session: AsyncSession, main: Agent, world: World
) -> None:
    """W-40: a reset agent or a failed message does not block the onboarding."""
    board = await lock_launch(session, world.bob, world)
    conversation = await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)

    async def remind() -> int:
        await onboarding.remind_agent(session, world.bob, board, base_url=BASE_URL)
        return len(await outbox(session, main))

    [first] = await outbox(session, main)
    first.schedule_retry(now() + timedelta(hours=1), "The gateway is busy.")
    waiting_since = first.waiting_since
    assert await remind() == 1
    assert first.next_attempt_at is None  # it is retried immediately
    assert first.waiting_since == waiting_since  # but expires at the same time
    for count in (2, 3):
        for message in await outbox(session, main):
            message.state, message.last_error = MessageState.FAILED, "It was away."
        await session.flush()
        assert await remind() == count
        assert await remind() == count
    last = await onboarding.find_last_message(session, board, conversation)
    assert last is not None
    assert last.content.endswith("Go on from here.")

    last.state = MessageState.SENT
    await ask(session, main, board, "What?")
    assert await remind() == 3  # it is the user's turn


async def test_a_cancelled_onboarding_accepts_no_questions(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    await onboarding.start_onboarding(session, world.bob, board, base_url=BASE_URL)
    await onboarding.cancel_onboarding(session, world.bob, board)
    conversation = await onboarding.get_conversation(session, board)
    assert (conversation.session.status, conversation.waiting_for) == (
        OnboardingStatus.CANCELLED,
        None,
    )
    for attempt in (
        onboarding.ask_question(session, main, board, {"question": "What?"}),
        onboarding.cancel_onboarding(session, world.bob, board),
        onboarding.remind_agent(session, world.bob, board, base_url=BASE_URL),
    ):
        with pytest.raises(Conflict):
            await attempt


async def lock_garden(session: AsyncSession, user: User, world: World) -> Board:
    """Lock a board without a lead and without a gateway."""
    return await boards.lock_board(session, user, world.garden.id)


async def get_last_state(session: AsyncSession, board: Board) -> ExpectedState:
    conversation = await onboarding.find_conversation(session, board)
    return ExpectedState.from_session(conversation.session if conversation else None)


async def test_a_user_can_confirm_without_a_conversation(
    session: AsyncSession, world: World
) -> None:
    board = await lock_garden(session, world.alice, world)
    done = await onboarding.confirm_without_agent(
        session, world.alice, board, GOAL, expected=ExpectedState()
    )
    assert (done.board.goal_confirmed, done.board.objective) == (True, "Launch")
    assert done.lead is not None
    assert done.token is not None
    assert done.token.startswith("mc_agent_")
    conversation = await onboarding.get_conversation(session, board)
    assert (conversation.session.status, conversation.messages) == (OnboardingStatus.CONFIRMED, [])


async def test_only_admins_create_a_lead(session: AsyncSession, main: Agent, world: World) -> None:
    """Decision 11: a lead on a gateway gets its token there."""
    await session.delete(await session.get_one(Agent, world.lead.id))
    board = await lock_launch(session, world.alice, world)
    on_gateway = await onboarding.confirm_without_agent(
        session, world.alice, board, GOAL, expected=ExpectedState()
    )
    assert on_gateway.lead is not None
    assert on_gateway.token is None

    await session.delete(on_gateway.lead)
    board.gateway_id = None
    await session.flush()
    last = await get_last_state(session, board)
    with pytest.raises(Forbidden, match="only an admin creates one"):
        await onboarding.confirm_without_agent(session, world.bob, board, GOAL, expected=last)


async def test_an_outdated_expected_state_confirms_nothing(
    session: AsyncSession, world: World
) -> None:
    board = await lock_garden(session, world.alice, world)
    await onboarding.confirm_without_agent(
        session, world.alice, board, GOAL, expected=ExpectedState()
    )
    other = OnboardingGoal(board_type="general", objective="Another")
    last = await get_last_state(session, board)
    for state in (ExpectedState(), ExpectedState(new_id()), ExpectedState(last.id, is_open=True)):
        with pytest.raises(Conflict) as error:
            await onboarding.confirm_without_agent(
                session, world.alice, board, other, expected=state
            )
        assert error.value.code == "onboarding_changed"
    assert board.objective == "Launch"


async def test_confirming_again_changes_the_goal_and_notifies_the_lead(
    session: AsyncSession, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    first = await onboarding.confirm_without_agent(
        session, world.bob, board, GOAL, expected=ExpectedState()
    )
    assert (first.lead, first.token) == (None, None)
    last = await get_last_state(session, board)
    other = OnboardingGoal(board_type="general", objective="Another")
    await onboarding.confirm_without_agent(session, world.bob, board, other, expected=last)

    sent = await outbox(session, world.lead)
    assert [message.kind for message in sent] == ["BOARD UPDATED", "BOARD UPDATED"]
    assert "Another" in sent[-1].content
    kinds = [
        event.type
        for event in await session.scalars(
            select(Event).where(Event.board_id == board.id).order_by(Event.seq)
        )
    ]
    assert kinds.count(EventType.ONBOARDING_CONFIRMED) == 2
    sessions = (await session.scalars(select(OnboardingSession.status))).all()
    assert set(sessions) == {OnboardingStatus.CONFIRMED}


async def test_a_new_lead_gets_no_message_about_its_initial_goal(
    session: AsyncSession, world: World
) -> None:
    board = await lock_garden(session, world.alice, world)
    done = await onboarding.confirm_without_agent(
        session, world.alice, board, GOAL, expected=ExpectedState()
    )
    assert done.lead is not None
    assert await outbox(session, done.lead) == []


@pytest.mark.parametrize("draft", [None, {}, {"lead_agent": None, "user_profile": None}])
async def test_an_empty_draft_creates_a_default_lead(
    session: AsyncSession, world: World, draft: dict[str, Any] | None
) -> None:
    board = await lock_garden(session, world.alice, world)
    conversation = await onboarding.start_onboarding(session, world.alice, board, base_url=BASE_URL)
    conversation.session.draft_goal = draft
    done = await onboarding.confirm_goal(session, world.alice, board, GOAL)
    assert done.lead is not None
    assert done.lead.name == "Lead Agent"


@pytest.mark.parametrize(
    ("autonomy", "approval", "requirement"),
    [
        ("balanced", True, "A task is done only once a person has approved it."),
        ("autonomous", False, "A task may be done without a person's approval."),
    ],
)
async def test_a_preview_shows_what_the_lead_would_get_and_saves_nothing(
    session: AsyncSession,
    main: Agent,
    world: World,
    autonomy: str,
    approval: bool,
    requirement: str,
) -> None:
    await session.delete(await session.get_one(Agent, world.lead.id))
    board = await lock_launch(session, world.alice, world)
    lead = {"name": "Worker", "autonomy_level": autonomy}
    goal = OnboardingGoal(
        board_type="goal",
        objective="Ten partners live",
        success_metrics={"Partners": "10"},
        lead_agent=lead,
        user_profile={"preferred_name": "Al"},
    )
    before = (await session.scalars(select(Agent.id))).all()
    shown = await onboarding.preview_goal(session, world.alice, board, goal, base_url=BASE_URL)

    assert (shown.name, shown.requires_approval, shown.has_gateway) == ("Worker 2", approval, True)
    assert ("require_approval_for_done" in shown.agent_files.rules) is approval
    files = shown.agent_files.files
    assert "Ten partners live" in files["AGENTS.md"]
    assert requirement in files["AGENTS.md"]
    assert f"WORKSPACE_PATH=/agents/workspace-lead-{board.id}" in files["AGENTS.md"]
    assert "Al" in files["USER.md"]
    await session.flush()
    assert (await session.scalars(select(Agent.id))).all() == before
    assert (board.objective, board.goal_confirmed) == (None, False)

    done = await onboarding.confirm_without_agent(
        session, world.alice, board, goal, expected=ExpectedState()
    )
    assert done.lead is not None
    assert (done.lead.name, board.require_approval_for_done) == ("Worker 2", approval)


async def test_only_admins_preview_a_lead_without_approvals(
    session: AsyncSession, world: World
) -> None:
    board = await lock_launch(session, world.bob, world)
    goal = OnboardingGoal(board_type="general", lead_agent={"autonomy_level": "autonomous"})
    shown = await onboarding.preview_goal(session, world.bob, board, goal, base_url=BASE_URL)
    assert (shown.name, shown.requires_approval, shown.has_gateway) == ("Lead", True, False)
