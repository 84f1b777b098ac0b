"""Messages wait for a pause to be over and for their agent to be there, but not for ever."""

import asyncio
from datetime import timedelta

from kit.clock import now
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import Board, DesiredState, Step
from services import boards, memory, messages
from tests.carried import Post, session_of
from tests.openclaw.fake import Refused
from tests.services.carriage import ACKNOWLEDGED, FAILED, NOT_TOLD, QUEUED, SENT, a_little, always
from tests.world import a_main


async def test_what_is_written_goes_at_once_and_so_does_what_a_pause_held_up(
    post: Post, own_settings: Settings
) -> None:
    """Nobody waits for the next look: whatever happens rings, and so does the end of a turn."""
    doorbell, board = Doorbell(), post.world.board
    listening = asyncio.create_task(doorbell.listen(own_settings.dsn))
    try:
        await doorbell.listening.wait()
        async with post.carried(doorbell, every=60):
            await a_little()
            await post.write("BOARD CHAT\nOne.")
            await post.until(ACKNOWLEDGED)
            await say(post, board, "/pause")
            await post.write("BOARD CHAT\nTwo.")
            await post.until(ACKNOWLEDGED, ACKNOWLEDGED, QUEUED)
            await say(post, board, "/resume")
            await post.until(*[ACKNOWLEDGED] * 4)
    finally:
        listening.cancel()
    worker = session_of(post.world.worker)
    one, two = "BOARD CHAT\nOne.", "BOARD CHAT\nTwo."
    assert post.fake.heard_in(worker) == [one, "/pause", "/resume", two]


async def say(post: Post, board: Board, content: str) -> None:
    """Let Alice say something in a board's chat."""
    async with post.transaction() as session:
        held = await boards.hold(session, post.world.alice, board.id)
        draft = memory.NoteDraft(content=content, tags=["chat"])
        place = memory.on_board(held)
        await memory.write(session, post.world.alice, place, draft, base_url="http://mc")


async def test_a_paused_board_hears_only_that_it_is_paused_and_then_all_in_order(
    post: Post,
) -> None:
    board = post.world.board
    await post.change(board, paused_at=now())
    await post.write("BOARD CHAT\nOne.", "/pause", "BOARD CHAT\nTwo.")
    async with post.carried():
        await post.until(QUEUED, ACKNOWLEDGED, QUEUED)
        await a_little()
        assert post.fake.heard == ["/pause"]
        waiting = await post.mail()
        assert [one.attempts for one in waiting] == [0, 1, 0]
        await post.write("/resume")
        await post.until(QUEUED, ACKNOWLEDGED, QUEUED, ACKNOWLEDGED)
        await post.change(board, paused_at=None)
        await post.until(*[ACKNOWLEDGED] * 4)
    assert post.fake.heard == ["/pause", "/resume", "BOARD CHAT\nOne.", "BOARD CHAT\nTwo."]


async def test_a_pause_stops_what_is_being_tried(post: Post) -> None:
    """No attempt is made without asking whether the board is paused."""
    post.fake.fault = always(Refused("UNAVAILABLE", "busy"))
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with post.carried():
        while not post.sends:
            await asyncio.sleep(0.01)
        await post.change(post.world.board, paused_at=now())
        post.fake.fault = lambda _method, _params: None
        tried = len(post.sends)
        await asyncio.sleep(2.5)  # longer than it rests after the first two attempts
    assert len(post.sends) == tried
    assert await post.states() == [QUEUED, QUEUED]


async def test_an_agent_is_written_to_once_it_is_there_and_has_had_its_first_words(
    post: Post,
) -> None:
    worker = post.world.worker
    await post.change(worker, observed_generation=0, step=Step.FILES)
    await post.write("BOARD CHAT\nHello.")
    async with post.carried():
        for fields in (
            {"observed_generation": 1, "step": Step.WAKE},
            {"observed_generation": 1, "step": Step.CREATE},
            {"desired_state": DesiredState.GONE, "step": None},
            {"desired_state": None},
            {"desired_state": None, "is_linked": True},
        ):
            await post.change(worker, **fields)
            await a_little()
            assert await post.states() == [QUEUED]
        await post.change(worker, listed_at=now())
        await post.until(ACKNOWLEDGED)


async def test_an_agent_is_woken_before_it_hears_what_was_written_earlier(post: Post) -> None:
    await post.write("TASK ASSIGNED\nDo it.")
    await post.write("You are Ada. Check in.", kind=messages.texts.WAKE_UP)
    async with post.carried():
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert post.fake.heard == ["You are Ada. Check in.", "TASK ASSIGNED\nDo it."]


async def test_what_is_of_a_board_that_an_agent_has_left_is_passed_over(post: Post) -> None:
    await post.write("BOARD CHAT\nOld.", board=post.world.board)
    await post.write("BOARD CHAT\nNew.", board=post.world.garden)
    await post.change(post.world.worker, board_id=post.world.garden.id)
    async with post.carried():
        await post.until(QUEUED, ACKNOWLEDGED)


async def test_the_agent_that_looks_after_a_gateway_gets_its_messages_too(post: Post) -> None:
    main, token = a_main(post.gateway, desired_state=DesiredState.RUNNING, observed_generation=1)
    post.fake.entries[f"mc-gateway-{post.gateway.id}"] = {}
    async with post.transaction() as session:
        session.add_all([main, token])
    await post.write("BOARD ONBOARDING REQUEST\nAsk.", to=main, board=post.world.garden)
    async with post.carried():
        await post.until(ACKNOWLEDGED, agent=main)
    assert post.fake.heard_in(post.gateway.session_key) == ["BOARD ONBOARDING REQUEST\nAsk."]


async def test_what_a_gateway_does_not_take_for_too_long_fails(post: Post) -> None:
    post.fake.fault = always(Refused("UNAVAILABLE", "Model catalog is not ready"))
    await post.write("BOARD CHAT\nHello.", failed=NOT_TOLD)
    [message] = await post.mail()
    await post.change(message, attempts=29)
    async with post.carried():
        [message] = await post.until(FAILED)
    assert message.last_error == "Model catalog is not ready"
    assert await post.times(NOT_TOLD) == 1
    assert message.run_id == str(message.id)


async def test_what_nobody_could_hand_over_or_find_out_for_seven_days_fails(post: Post) -> None:
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    long_ago = now() - timedelta(days=7, seconds=1)
    first, second = await post.mail()
    await post.change(first, state=SENT, sent_at=long_ago, next_try_at=long_ago)
    await post.change(second, next_try_at=long_ago)
    async with post.transaction() as session:
        assert await messages.give_up(session) == 2
    first, second = await post.until(FAILED, FAILED)
    assert first.last_error == "Nobody could find out for 7 days what has become of it."
    assert second.last_error == "It could not be handed over for 7 days."
