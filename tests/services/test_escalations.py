"""A second person is notified of what the first one has not dealt with, also if both know of it."""

from collections.abc import Sequence
from datetime import time, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    Approval,
    ApprovalStatus,
    Notification,
    NotificationKind,
    NotificationSettings,
    User,
    new_id,
)
from services import approvals, boards, memory, notifications, questions
from services.approvals import ApprovalCreate
from services.coordination import UserQuestion, ask_user
from services.notifications.escalations import next_escalation_query
from tests.support.approval_helpers import decide_approval
from tests.support.world import World

Kind = NotificationKind
REMINDED_AFTER = timedelta(minutes=61)


async def choose_second_person(
    session: AsyncSession, world: World, first: User, second: User
) -> None:
    """Escalate what the first user does not deal with for two hours."""
    settings = NotificationSettings(
        id=new_id(),
        user_id=first.id,
        organization_id=world.tern.id,
        digest_at=time(8),
        updated_at=now(),
        escalate_to_user_id=second.id,
        escalate_after_minutes=120,
    )
    session.add(settings)
    await session.flush()


async def let_pass(session: AsyncSession, duration: timedelta) -> None:
    """Let time pass for all notifications and approvals."""
    for model in (Notification, Approval):
        await session.execute(update(model).values(created_at=model.created_at - duration))


async def list_unresolved(session: AsyncSession, user: User) -> Sequence[tuple[Kind, bool]]:
    """Return the kinds of the open notifications of a user, and whether each is an escalation."""
    query = select(Notification).where(
        Notification.user_id == user.id, Notification.resolved_at.is_(None)
    )
    found = (await session.scalars(query.execution_options(populate_existing=True))).all()
    return sorted((one.kind, bool(one.data.get("is_escalated"))) for one in found)


async def request_approval(session: AsyncSession, world: World) -> Approval:
    """Request an approval of those who may write to Launch."""
    board = await boards.lock_board(session, world.worker, world.board.id)
    draft = ApprovalCreate(action_type="deploy", confidence=90, lead_reasoning="It is ready.")
    return (await approvals.request_approval(session, world.worker, board, draft)).approval


async def test_a_question_escalates_to_who_has_it_too(session: AsyncSession, world: World) -> None:
    await choose_second_person(session, world, world.bob, world.alice)
    world.board.workers_may_ask_people = True
    question = await questions.ask_question(session, world.worker, world.board, "Which logo?")
    await let_pass(session, timedelta(minutes=121))
    assert [await notifications.escalate(session) for _ in range(2)] == [1, 0]
    escalated = [(Kind.QUESTION, False), (Kind.QUESTION, True)]
    assert await list_unresolved(session, world.alice) == escalated
    assert await list_unresolved(session, world.bob) == [(Kind.QUESTION, False)]
    board = await boards.lock_board(session, world.bob, world.board.id)
    await questions.answer_question(session, world.bob, board, question.id, "The red one.")
    assert await list_unresolved(session, world.alice) == []


async def test_nothing_escalates_to_who_may_not_decide(session: AsyncSession, world: World) -> None:
    """Rita reads the board."""
    await choose_second_person(session, world, world.bob, world.rita)
    world.board.workers_may_ask_people = True
    await questions.ask_question(session, world.worker, world.board, "Which logo?")
    await request_approval(session, world)
    await let_pass(session, timedelta(minutes=121))
    await notifications.escalate(session)
    assert await list_unresolved(session, world.rita) == []
    assert await session.scalar(select(next_escalation_query())) is None


async def test_an_approval_escalates_after_its_reminder(
    session: AsyncSession, world: World
) -> None:
    await choose_second_person(session, world, world.bob, world.alice)
    approval = await request_approval(session, world)
    await let_pass(session, REMINDED_AFTER)
    assert await approvals.remind_of_approvals(session) == 1
    await let_pass(session, timedelta(minutes=60))
    assert await notifications.escalate(session) == 1
    waiting = [
        (Kind.APPROVAL_PENDING, False),
        (Kind.APPROVAL_UNDECIDED, False),
        (Kind.APPROVAL_UNDECIDED, True),
    ]
    assert await list_unresolved(session, world.alice) == waiting
    await decide_approval(session, world.alice, approval, ApprovalStatus.APPROVED)
    assert await list_unresolved(session, world.alice) == []
    await approvals.undo_decision(session, world.alice, approval.id)
    assert await list_unresolved(session, world.alice) == waiting


async def test_an_escalation_does_not_prevent_the_reminder(
    session: AsyncSession, world: World
) -> None:
    await choose_second_person(session, world, world.bob, world.alice)
    await request_approval(session, world)
    await session.execute(update(NotificationSettings).values(escalate_after_minutes=30))
    await let_pass(session, timedelta(minutes=31))
    assert await notifications.escalate(session) == 1
    await let_pass(session, REMINDED_AFTER)
    await approvals.remind_of_approvals(session)
    assert (Kind.APPROVAL_UNDECIDED, False) in await list_unresolved(session, world.alice)


async def ask_in_chat(session: AsyncSession, world: World) -> None:
    """Ask people as the lead."""
    question = UserQuestion(content="May it slip?")
    await ask_user(session, world.lead, world.board, question, base_url="http://mission.test")


async def test_each_question_of_the_lead_escalates_until_somebody_answers(
    session: AsyncSession, world: World
) -> None:
    await choose_second_person(session, world, world.bob, world.alice)
    for _ in range(2):
        for _ in range(2):
            await ask_in_chat(session, world)
        assert await list_unresolved(session, world.alice) == [(Kind.QUESTION, False)]
        await notifications.mark_all_read(
            session, world.bob_member, notifications.NotificationFilters()
        )
        await let_pass(session, timedelta(minutes=121))
        assert await notifications.escalate(session) == 1
        escalated = [(Kind.QUESTION, False), (Kind.QUESTION, True)]
        assert await list_unresolved(session, world.alice) == escalated
        draft = memory.NoteCreate(content="No.", tags=["chat"])
        scope = memory.board_scope(world.board)
        await memory.create_note(session, world.bob, scope, draft, base_url="http://mission.test")
        for user in (world.alice, world.bob):
            assert await list_unresolved(session, user) == []


async def test_two_people_who_name_each_other_get_one_escalation_each(
    session: AsyncSession, world: World
) -> None:
    await choose_second_person(session, world, world.bob, world.alice)
    await choose_second_person(session, world, world.alice, world.bob)
    world.board.workers_may_ask_people = True
    await questions.ask_question(session, world.worker, world.board, "Which logo?")
    await let_pass(session, timedelta(minutes=121))
    assert await notifications.escalate(session) == 2
    await let_pass(session, timedelta(minutes=121))
    assert await notifications.escalate(session) == 0
    assert await session.scalar(select(next_escalation_query())) is None
    for user in (world.alice, world.bob):
        assert len(await list_unresolved(session, user)) == 2
