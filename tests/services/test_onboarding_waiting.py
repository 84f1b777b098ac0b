"""What waits for people where boards are set up: all of it in one list, for who may answer."""

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Gateway
from services import boards, onboarding
from services.onboarding import Waiting, waiting
from tests.world import World, a_gateway, a_main

HERE = "http://mission.test"
DRAFT = {"status": "complete", "board_type": "general"}


async def a_gateway_with_an_agent(session: AsyncSession, world: World, *on: Board) -> Agent:
    gateway: Gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    rows = a_main(gateway)
    session.add_all(rows)
    for board in on:
        (await session.get_one(Board, board.id)).gateway_id = gateway.id
    await session.flush()
    return rows[0]


async def begun(session: AsyncSession, world: World, board: Board) -> Board:
    held = await boards.hold(session, world.alice, board.id)
    await onboarding.start(session, world.alice, held, base_url=HERE)
    return held


def told(found: list[Waiting] | tuple[Waiting, ...]) -> list[tuple[str, str, str, str]]:
    return [(one.board.name, one.agent.name, one.wants, one.question) for one in found]


async def test_questions_and_drafts_of_all_boards_wait_in_one_list_the_newest_first(
    session: AsyncSession, world: World
) -> None:
    main = await a_gateway_with_an_agent(session, world, world.board, world.garden)
    launch, garden = [await begun(session, world, one) for one in (world.board, world.garden)]
    assert list(await waiting(session, world.alices)) == []  # it is the agent's turn

    await onboarding.propose(session, main, launch, DRAFT)
    await onboarding.ask(session, main, garden, {"question": "What grows here?"})
    found = list(await waiting(session, world.alices))
    assert told(found) == [
        ("Garden", main.name, "answer", "What grows here?"),
        ("Launch", main.name, "review", ""),
    ]
    assert [one.since for one in found] == [one.conversation.waiting_since for one in found]
    of_launch = list(await waiting(session, world.alices, board_id=launch.id))
    assert [one.wants for one in of_launch] == ["review"]
    assert await onboarding.waiting_by_board(session, world.alices) == {launch.id: 1, garden.id: 1}


async def test_nothing_waits_of_what_was_answered_confirmed_or_ended(
    session: AsyncSession, world: World
) -> None:
    main = await a_gateway_with_an_agent(session, world, world.board, world.garden)
    launch, garden = [await begun(session, world, one) for one in (world.board, world.garden)]
    for board in (launch, garden):
        await onboarding.ask(session, main, board, {"question": "What?"})
    await onboarding.answer(session, world.alice, launch, "A site")
    await onboarding.give_up(session, world.alice, garden)
    assert list(await waiting(session, world.alices)) == []

    await onboarding.propose(session, main, launch, DRAFT)
    await onboarding.confirm(session, world.alice, launch, onboarding.Goal(board_type="general"))
    assert list(await waiting(session, world.alices)) == []


async def test_a_question_waits_on_while_an_earlier_answer_is_corrected(
    session: AsyncSession, world: World
) -> None:
    main = await a_gateway_with_an_agent(session, world, world.board)
    board = await begun(session, world, world.board)
    asked = await onboarding.ask(session, main, board, {"question": "What?"})
    await onboarding.answer(session, world.alice, board, "A site")
    await onboarding.ask(session, main, board, {"question": "When?"})
    what = asked.transcript.exchanges[0].id
    await onboarding.correct(session, world.alice, board, "A shop", question_id=what)
    assert [one.question for one in await waiting(session, world.alices)] == ["When?"]


async def test_it_waits_for_those_who_may_answer_and_for_nobody_else(
    session: AsyncSession, world: World
) -> None:
    main = await a_gateway_with_an_agent(session, world, world.board, world.garden)
    for board in (world.board, world.garden):
        await onboarding.ask(
            session, main, await begun(session, world, board), {"question": "What?"}
        )
    assert [one.board.name for one in await waiting(session, world.bobs)] == ["Launch"]
    for member in (world.ritas, world.danas, world.charlies):
        assert list(await waiting(session, member)) == []


async def test_nobody_asks_where_no_agent_looks_after_the_gateway(
    session: AsyncSession, world: World
) -> None:
    await begun(session, world, world.board)
    assert list(await waiting(session, world.alices)) == []
