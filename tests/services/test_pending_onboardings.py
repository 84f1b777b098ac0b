"""The list of onboarding questions and drafts that are pending for a member."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Gateway, Member
from services import boards, onboarding, waiting_counts
from services.onboarding import PendingOnboarding
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World

BASE_URL = "http://mission.test"
DRAFT = {"status": "complete", "board_type": "general"}


async def create_main_agent(
    session: AsyncSession, world: World, *boards_of_gateway: Board
) -> Agent:
    gateway: Gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    rows = make_main_agent(gateway)
    session.add_all(rows)
    for board in boards_of_gateway:
        (await session.get_one(Board, board.id)).gateway_id = gateway.id
    await session.flush()
    return rows[0]


async def start(session: AsyncSession, world: World, board: Board) -> Board:
    locked = await boards.lock_board(session, world.alice, board.id)
    await onboarding.start_onboarding(session, world.alice, locked, base_url=BASE_URL)
    return locked


async def list_pending(session: AsyncSession, member: Member) -> Sequence[PendingOnboarding]:
    return (await waiting_counts.load_waiting_counts(session, member)).onboardings


def summarize(found: Sequence[PendingOnboarding]) -> list[tuple[str, str, str, str]]:
    return [(one.board.name, one.agent.name, one.pending_action, one.question) for one in found]


async def test_pending_questions_and_drafts_are_listed_newest_first(
    session: AsyncSession, world: World
) -> None:
    main = await create_main_agent(session, world, world.board, world.garden)
    launch, garden = [await start(session, world, one) for one in (world.board, world.garden)]
    # It is the agent's turn.
    assert list(await list_pending(session, world.alice_member)) == []

    await onboarding.submit_draft(session, main, launch, DRAFT)
    await onboarding.ask_question(session, main, garden, {"question": "What grows here?"})
    found = list(await list_pending(session, world.alice_member))
    assert summarize(found) == [
        ("Garden", main.name, "answer", "What grows here?"),
        ("Launch", main.name, "review", ""),
    ]
    assert [one.since for one in found] == [one.conversation.waiting_since for one in found]
    ids = {"user_id": world.alice.id, "organization_id": world.tern.id, "board_id": launch.id}
    queries = waiting_counts.list_count_queries(is_admin=False, by_board=True)
    of_launch = await waiting_counts.build_waiting_counts(
        session, [await query.fetch(session, **ids) for query in queries]
    )
    assert [one.pending_action for one in of_launch.onboardings] == ["review"]
    waiting = await waiting_counts.load_waiting_counts(session, world.alice_member)
    assert (waiting.by_board, waiting.total) == ({launch.id: 1, garden.id: 1}, 2)


async def test_answered_confirmed_and_cancelled_sessions_are_not_pending(
    session: AsyncSession, world: World
) -> None:
    main = await create_main_agent(session, world, world.board, world.garden)
    launch, garden = [await start(session, world, one) for one in (world.board, world.garden)]
    for board in (launch, garden):
        await onboarding.ask_question(session, main, board, {"question": "What?"})
    await onboarding.answer_question(session, world.alice, launch, "A site")
    await onboarding.cancel_onboarding(session, world.alice, garden)
    assert list(await list_pending(session, world.alice_member)) == []

    await onboarding.submit_draft(session, main, launch, DRAFT)
    await onboarding.confirm_goal(
        session, world.alice, launch, onboarding.OnboardingGoal(board_type="general")
    )
    assert list(await list_pending(session, world.alice_member)) == []


async def test_a_question_remains_pending_during_a_correction(
    session: AsyncSession, world: World
) -> None:
    main = await create_main_agent(session, world, world.board)
    board = await start(session, world, world.board)
    asked = await onboarding.ask_question(session, main, board, {"question": "What?"})
    await onboarding.answer_question(session, world.alice, board, "A site")
    await onboarding.ask_question(session, main, board, {"question": "When?"})
    what = asked.transcript.exchanges[0].id
    await onboarding.correct_answer(session, world.alice, board, "A shop", question_id=what)
    assert [one.question for one in await list_pending(session, world.alice_member)] == ["When?"]


async def test_questions_are_pending_only_for_members_who_may_answer(
    session: AsyncSession, world: World
) -> None:
    main = await create_main_agent(session, world, world.board, world.garden)
    for board in (world.board, world.garden):
        await onboarding.ask_question(
            session, main, await start(session, world, board), {"question": "What?"}
        )
    assert [one.board.name for one in await list_pending(session, world.bob_member)] == ["Launch"]
    for member in (world.rita_member, world.dana_member, world.charlie_member):
        assert list(await list_pending(session, member)) == []


async def test_without_a_main_agent_nothing_is_pending(session: AsyncSession, world: World) -> None:
    await start(session, world, world.board)
    assert list(await list_pending(session, world.alice_member)) == []
