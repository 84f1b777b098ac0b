"""A conversation that turns a goal into a board with a lead, without the API."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, NotFound
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
from services.onboarding import Goal, Seen
from tests.world import World, a_gateway, a_main

HERE = "http://mission.test"
GOAL = Goal(board_type="goal", objective="Launch", success_metrics={"visitors": "1,000"})


@pytest.fixture
async def main(session: AsyncSession, world: World) -> Agent:
    """The agent of the gateway that serves Launch."""
    gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    rows = a_main(gateway)
    session.add_all(rows)
    board = await session.get_one(Board, world.board.id)
    board.gateway_id = gateway.id
    await session.flush()
    return rows[0]


async def held(session: AsyncSession, user: User, world: World) -> Board:
    return await boards.hold(session, user, world.board.id)


async def outbox(session: AsyncSession, agent: Agent) -> list[Message]:
    query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
    return list(await session.scalars(query))


async def asked(session: AsyncSession, main: Agent, board: Board, *questions: str) -> list[UUID]:
    """Let the agent ask, and return the ids of what it asked."""
    for words in questions:
        found = await onboarding.ask(session, main, board, {"question": words})
    return [one.id for one in found.transcript.exchanges]


async def test_an_answer_to_a_question_that_waits_no_longer_says_what_was_answered(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    [what] = await asked(session, main, board, "What?")
    await onboarding.answer(session, world.alice, board, "A site", question_id=what)
    with pytest.raises(Conflict) as refusal:
        await onboarding.answer(session, world.bob, board, "A shop", question_id=what)
    assert refusal.value.code == "onboarding_question_answered"
    assert refusal.value.details["answer"] == "A site"


async def test_an_answer_to_a_question_that_the_agent_left_behind_is_refused(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    [what, _] = await asked(session, main, board, "What?", "When?")
    for id in (what, new_id()):
        with pytest.raises(Conflict) as refusal:
            await onboarding.answer(session, world.bob, board, "A shop", question_id=id)
        assert refusal.value.code == "onboarding_question_over"


async def test_a_correction_is_added_and_the_agent_is_told(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    [what] = await asked(session, main, board, "What?")
    await onboarding.answer(session, world.bob, board, "A site")
    await asked(session, main, board, "When?")
    found = await onboarding.correct(
        session, world.bob, board, "Other", question_id=what, other="A shop "
    )

    assert [one.answer for one in found.transcript.exchanges] == ["Other: A shop", None]
    assert [one.content for one in found.messages if one.content == "A site"]  # it stays written
    assert found.waiting_for == "person"
    last = (await outbox(session, main))[-1]
    assert "Correction to “What?”: Other: A shop" in last.content

    same = await onboarding.correct(
        session, world.bob, board, "Other", question_id=what, other="A shop"
    )
    assert len(same.messages) == len(found.messages)


async def test_only_what_was_answered_can_be_corrected(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    [what] = await asked(session, main, board, "What?")
    for id in (what, new_id()):
        with pytest.raises(NotFound):
            await onboarding.correct(session, world.bob, board, "A shop", question_id=id)


async def test_a_correction_of_a_draft_asks_for_another(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    [what] = await asked(session, main, board, "What?")
    await onboarding.answer(session, world.bob, board, "A site")
    await onboarding.propose(session, main, board, {"status": "complete", "board_type": "general"})
    found = await onboarding.correct(session, world.bob, board, "A shop", question_id=what)
    assert (found.session.status, found.waiting_for) == (OnboardingStatus.ACTIVE, "agent")


async def test_the_agent_is_reminded_as_often_as_somebody_asks_but_not_of_what_is_on_its_way(
    session: AsyncSession, main: Agent, world: World
) -> None:
    """W-40: a reset agent, or a message that failed, is no dead end."""
    board = await held(session, world.bob, world)
    found = await onboarding.start(session, world.bob, board, base_url=HERE)

    async def remind() -> int:
        await onboarding.remind(session, world.bob, board, base_url=HERE)
        return len(await outbox(session, main))

    [first] = await outbox(session, main)
    first.rest(now() + timedelta(hours=1), "The gateway is busy.")
    waits_since = first.next_try_at
    assert await remind() == 1
    assert first.due_at is None  # it is tried at once
    assert first.next_try_at == waits_since  # and given up when it would have been
    for count in (2, 3):
        for message in await outbox(session, main):
            message.state, message.last_error = MessageState.FAILED, "It was away."
        await session.flush()
        assert await remind() == count
        assert await remind() == count
    last = await onboarding.letter(session, board, found)
    assert last is not None
    assert last.content.endswith("Go on from here.")

    last.state = MessageState.SENT
    await asked(session, main, board, "What?")
    assert await remind() == 3  # it is the person's turn


async def test_who_gives_up_is_asked_nothing_more(
    session: AsyncSession, main: Agent, world: World
) -> None:
    board = await held(session, world.bob, world)
    await onboarding.start(session, world.bob, board, base_url=HERE)
    await onboarding.give_up(session, world.bob, board)
    found = await onboarding.get(session, board)
    assert (found.session.status, found.waiting_for) == (OnboardingStatus.CANCELLED, None)
    for attempt in (
        onboarding.ask(session, main, board, {"question": "What?"}),
        onboarding.give_up(session, world.bob, board),
        onboarding.remind(session, world.bob, board, base_url=HERE),
    ):
        with pytest.raises(Conflict):
            await attempt


async def garden(session: AsyncSession, user: User, world: World) -> Board:
    """Hold a board without a lead and without a gateway."""
    return await boards.hold(session, user, world.garden.id)


async def last_of(session: AsyncSession, board: Board) -> Seen:
    found = await onboarding.find(session, board)
    return Seen.of(found.session if found else None)


async def test_a_person_alone_needs_no_conversation_to_confirm(
    session: AsyncSession, world: World
) -> None:
    board = await garden(session, world.alice, world)
    done = await onboarding.confirm_alone(session, world.alice, board, GOAL, seen=Seen())
    assert (done.board.goal_confirmed, done.board.objective) == (True, "Launch")
    assert done.lead is not None
    assert done.token is not None
    assert done.token.startswith("mc_agent_")
    found = await onboarding.get(session, board)
    assert (found.session.status, found.messages) == (OnboardingStatus.CONFIRMED, [])


async def test_the_token_of_a_lead_is_shown_to_admins_only(
    session: AsyncSession, main: Agent, world: World
) -> None:
    """Decision 11: a lead that a gateway runs gets its token there."""
    await session.delete(await session.get_one(Agent, world.lead.id))
    board = await held(session, world.alice, world)
    on_gateway = await onboarding.confirm_alone(session, world.alice, board, GOAL, seen=Seen())
    assert on_gateway.lead is not None
    assert on_gateway.token is None

    await session.delete(on_gateway.lead)
    board.gateway_id = None
    await session.flush()
    last = await last_of(session, board)
    by_bob = await onboarding.confirm_alone(session, world.bob, board, GOAL, seen=last)
    assert by_bob.lead is not None
    assert by_bob.token is None


async def test_who_has_seen_another_conversation_confirms_nothing(
    session: AsyncSession, world: World
) -> None:
    board = await garden(session, world.alice, world)
    await onboarding.confirm_alone(session, world.alice, board, GOAL, seen=Seen())
    other = Goal(board_type="general", objective="Another")
    last = await last_of(session, board)
    for seen in (Seen(), Seen(new_id()), Seen(last.id, is_open=True)):
        with pytest.raises(Conflict) as refusal:
            await onboarding.confirm_alone(session, world.alice, board, other, seen=seen)
        assert refusal.value.code == "onboarding_moved_on"
    assert board.objective == "Launch"


async def test_a_confirmed_board_is_given_another_goal_and_its_lead_is_told(
    session: AsyncSession, world: World
) -> None:
    board = await held(session, world.bob, world)
    first = await onboarding.confirm_alone(session, world.bob, board, GOAL, seen=Seen())
    assert (first.lead, first.token) == (None, None)
    last = await last_of(session, board)
    other = Goal(board_type="general", objective="Another")
    await onboarding.confirm_alone(session, world.bob, board, other, seen=last)

    told = await outbox(session, world.lead)
    assert [message.kind for message in told] == ["BOARD UPDATED", "BOARD UPDATED"]
    assert "Another" in told[-1].content
    kinds = [
        event.type
        for event in await session.scalars(
            select(Event).where(Event.board_id == board.id).order_by(Event.seq)
        )
    ]
    assert kinds.count(EventType.ONBOARDING_CONFIRMED) == 2
    sessions = (await session.scalars(select(OnboardingSession.status))).all()
    assert set(sessions) == {OnboardingStatus.CONFIRMED}


async def test_a_new_lead_is_not_told_of_the_goal_it_is_made_for(
    session: AsyncSession, world: World
) -> None:
    board = await garden(session, world.alice, world)
    done = await onboarding.confirm_alone(session, world.alice, board, GOAL, seen=Seen())
    assert done.lead is not None
    assert await outbox(session, done.lead) == []


@pytest.mark.parametrize("draft", [None, {}, {"lead_agent": None, "user_profile": None}])
async def test_a_draft_that_says_nothing_makes_a_usual_lead(
    session: AsyncSession, world: World, draft: dict[str, Any] | None
) -> None:
    board = await garden(session, world.alice, world)
    found = await onboarding.start(session, world.alice, board, base_url=HERE)
    found.session.draft_goal = draft
    done = await onboarding.confirm(session, world.alice, board, GOAL)
    assert done.lead is not None
    assert done.lead.name == "Lead Agent"


@pytest.mark.parametrize(
    ("autonomy", "approval", "asked"),
    [
        ("balanced", True, "A task is done only once a person has approved it."),
        ("autonomous", False, "A task may be done without a person's approval."),
    ],
)
async def test_a_preview_is_what_the_lead_would_get_and_leaves_nothing_behind(
    session: AsyncSession, main: Agent, world: World, autonomy: str, approval: bool, asked: str
) -> None:
    await session.delete(await session.get_one(Agent, world.lead.id))
    board = await held(session, world.alice, world)
    lead = {"name": "Worker", "autonomy_level": autonomy}
    goal = Goal(
        board_type="goal",
        objective="Ten partners live",
        success_metrics={"Partners": "10"},
        lead_agent=lead,
        user_profile={"preferred_name": "Al"},
    )
    before = (await session.scalars(select(Agent.id))).all()
    shown = await onboarding.preview(session, world.alice, board, goal, base_url=HERE)

    assert (shown.name, shown.asks_for_approval, shown.on_gateway) == ("Worker 2", approval, True)
    assert asked in shown.told.asked
    files = shown.told.files
    assert "Ten partners live" in files["AGENTS.md"]
    assert asked in files["AGENTS.md"]
    assert f"WORKSPACE_PATH=/agents/workspace-lead-{board.id}" in files["AGENTS.md"]
    assert "Al" in files["USER.md"]
    await session.flush()
    assert (await session.scalars(select(Agent.id))).all() == before
    assert (board.objective, board.goal_confirmed) == (None, False)

    done = await onboarding.confirm_alone(session, world.alice, board, goal, seen=Seen())
    assert done.lead is not None
    assert (done.lead.name, board.require_approval_for_done) == ("Worker 2", approval)


async def test_only_an_admin_is_shown_a_lead_that_asks_for_no_approval(
    session: AsyncSession, world: World
) -> None:
    board = await held(session, world.bob, world)
    goal = Goal(board_type="general", lead_agent={"autonomy_level": "autonomous"})
    shown = await onboarding.preview(session, world.bob, board, goal, base_url=HERE)
    assert (shown.name, shown.asks_for_approval, shown.on_gateway) == ("Lead", True, False)
