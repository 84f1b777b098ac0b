"""Messages are carried to agents on gateways: once, in order, whatever happens on the way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import Board, DesiredState, EventType, MessageState, Step
from services import boards, memory, messages
from tests.carried import Post, a_post, session_of
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import After, Before, Fault
from tests.world import World, a_main

TOLD, NOT_TOLD = EventType.TASK_ASSIGNEE_NOTIFIED, EventType.TASK_ASSIGNEE_NOTIFY_FAILED
QUEUED, SENT = MessageState.QUEUED, MessageState.SENT
ACKNOWLEDGED, FAILED = MessageState.ACKNOWLEDGED, MessageState.FAILED


@pytest.fixture
async def post(real_transaction: Transaction, real_world: World) -> AsyncIterator[Post]:
    async with a_post(real_transaction, real_world) as post:
        yield post


async def a_little() -> None:
    """Wait so long that something would have happened, to show that nothing does."""
    await asyncio.sleep(0.5)


def once(fault: Fault, *, of: str = "chat.send") -> Callable[[str, Any], Fault]:
    """Make a fault of the next call of a method only."""
    left = [fault]
    return lambda method, _: left.pop() if method == of and left else None


def always(fault: Fault, *, of: str = "chat.send") -> Callable[[str, Any], Fault]:
    return lambda method, _: fault if method == of else None


async def test_a_message_is_queued_then_sent_and_acknowledged_when_its_turn_has_ended_well(
    post: Post,
) -> None:
    post.fake.is_quick = False
    await post.write("TASK ASSIGNED\nDo it.", deliver=True, told=TOLD, data={"title": "Report"})
    async with post.carried():
        [message] = await post.until(SENT)
        assert message.sent_at
        assert (message.attempts, message.acknowledged_at) == (1, None)
        [send] = [params for method, params in post.fake.calls if method == "chat.send"]
        assert send == {
            "sessionKey": session_of(post.world.worker),
            "message": "TASK ASSIGNED\nDo it.",
            "deliver": True,
            "idempotencyKey": str(message.id),
        }
        assert await post.times(TOLD) == 1
        await post.fake.end(message.run_id)
        [message] = await post.until(ACKNOWLEDGED)
        assert message.acknowledged_at
    for type in (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED, TOLD):
        assert await post.times(type) == 1


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


async def test_each_agent_gets_its_messages_in_order(post: Post) -> None:
    crew = (post.world.lead, post.world.worker, post.world.other_worker)
    wanted = [f"BOARD CHAT\n{number}" for number in range(10)]
    for content in wanted:
        for agent in crew:
            await post.write(content, to=agent)
    async with post.carried():
        for agent in crew:
            await post.until(*[ACKNOWLEDGED] * 10, agent=agent)
    for agent in crew:
        assert post.fake.heard_in(session_of(agent)) == wanted
    assert len(post.sends) == 30


async def test_an_agent_that_hangs_holds_up_nobody_else(post: Post) -> None:
    """P4."""

    def hangs(method: str, params: Any) -> Fault:
        mine = method == "chat.send" and params["sessionKey"] == session_of(post.world.worker)
        return Refused("UNAVAILABLE", "Agent database resources are closing") if mine else None

    post.fake.fault = hangs
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    await post.write("BOARD CHAT\nHello.", to=post.world.lead)
    async with post.carried():
        await post.until(ACKNOWLEDGED, agent=post.world.lead)
        first, second = await post.mail()
        assert (first.state, second.state, second.attempts) == (QUEUED, QUEUED, 0)
        assert first.last_error == "Agent database resources are closing"
        post.fake.fault = lambda _method, _params: None
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert post.fake.heard_in(session_of(post.world.worker)) == [
        "BOARD CHAT\nOne.",
        "BOARD CHAT\nTwo.",
    ]


async def test_what_is_written_while_the_gateway_is_away_for_ten_minutes_comes_once_and_in_order(
    post: Post,
) -> None:
    """Market need 18."""
    wanted = [f"BOARD CHAT\n{number}" for number in range(6)]
    async with post.carried():
        await post.write(wanted[0])
        await post.until(ACKNOWLEDGED)
        post.fake.refuses = {"code": "UNAVAILABLE", "message": "starting", "close": 1013}
        await post.fake.drop(1012)
        for minute, content in enumerate(wanted[1:], start=1):
            post.clock.ahead = timedelta(minutes=2 * minute)
            await post.write(content)
            await asyncio.sleep(0.1)
        waiting = (await post.mail())[1:]
        assert {(one.state, one.attempts, one.last_error) for one in waiting} == {(QUEUED, 0, None)}
        post.fake.refuses = None
        found = await post.until(*[ACKNOWLEDGED] * 6)
    assert post.fake.heard == wanted
    assert [one.attempts for one in found] == [1] * 6
    assert post.sends == [str(one.id) for one in found]


@pytest.mark.parametrize("fault", [Before(1012), After(1012), Before(1006), After(1001)])
async def test_a_connection_that_breaks_in_the_middle_neither_loses_nor_doubles_a_message(
    post: Post, fault: Fault
) -> None:
    """W-43: one key for each logical message."""
    post.fake.fault = once(fault)
    wanted = [f"BOARD CHAT\n{number}" for number in range(3)]
    await post.write(*wanted)
    async with post.carried():
        found = await post.until(*[ACKNOWLEDGED] * 3)
    assert post.fake.heard == wanted
    assert set(post.sends) == {str(one.id) for one in found}


async def test_a_lost_answer_is_asked_for_under_the_same_key(post: Post) -> None:
    post.fake.is_quick = False
    post.fake.fault = once(After(1012))
    await post.write("BOARD CHAT\nHello.", told=TOLD)
    async with post.carried():
        [message] = await post.until(SENT)
    assert post.sends == [str(message.id)] * 2
    assert post.fake.heard == ["BOARD CHAT\nHello."]
    assert await post.times(TOLD) == 1


async def test_a_turn_that_is_over_before_the_message_is_answered_counts(post: Post) -> None:
    post.fake.is_hasty, post.fake.hesitates = True, 0.6
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with post.carried():
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert not [method for method, _ in post.fake.calls if method == "chat.history"]


@dataclass
class Scissors:
    """Cuts a worker off at the n-th of the points at which it can be cut off."""

    at: int
    post: Post
    points: int = 0
    worker: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncSession]:
        self._point()
        async with self.post.transaction() as session:
            yield session
            self._point()
        self._point()

    def fault(self, _method: str, _params: Any) -> Fault:
        self._point()
        return None

    def _point(self) -> None:
        self.points += 1
        if self.points == self.at and self.worker:
            self.worker.cancel()


@pytest.mark.parametrize("at", range(1, 40))
async def test_a_worker_that_is_cut_off_anywhere_is_followed_by_one_that_goes_on(
    post: Post, at: int
) -> None:
    wanted = [f"BOARD CHAT\n{number}" for number in range(2)]
    await post.write(*wanted, told=TOLD)
    scissors = Scissors(at, post)
    post.fake.fault = scissors.fault
    station = messages.carrying(scissors.transaction, Doorbell(), every=0.05)
    scissors.worker = asyncio.create_task(post.hold(station))
    await asyncio.wait({scissors.worker}, timeout=5)
    assert scissors.worker.cancelled()
    post.fake.fault = lambda _method, _params: None
    post.clock.ahead = timedelta(seconds=11)  # what it had in hand, others may take now
    async with post.carried():
        found = await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert post.fake.heard == wanted
    assert set(post.sends) == {str(one.id) for one in found}
    for type in (TOLD, EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED):
        assert await post.times(type) == 2


async def test_a_turn_that_fails_says_why_and_can_be_begun_again(post: Post) -> None:
    post.fake.is_quick = False
    await post.write("TASK ASSIGNED\nDo it.", told=TOLD, failed=NOT_TOLD)
    async with post.carried():
        [message] = await post.until(SENT)
        await post.fake.fail(message.run_id, "LLM request failed: no credit.")
        [message] = await post.until(FAILED)
        assert message.last_error == "LLM request failed: no credit."
        assert await post.times(NOT_TOLD) == 1
        await a_little()
        assert len(post.sends) == 1
        async with post.transaction() as session:
            await messages.retry(session, post.world.alice, post.world.worker, message.id)
        [message] = await post.until(SENT)
        assert message.last_error is None
        await post.fake.end(message.run_id)
        await post.until(ACKNOWLEDGED)
    assert post.sends == [str(message.id), f"{message.id}.2"]


async def test_a_turn_that_is_stopped_has_failed(post: Post) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nHello.")
    async with post.carried():
        [message] = await post.until(SENT)
        await post.fake.stop(message.run_id)
        [message] = await post.until(FAILED)
    assert message.last_error == "Its turn was stopped before it was over."


async def test_what_the_gateway_refuses_again_and_again_has_failed_and_the_next_goes_on(
    post: Post,
) -> None:
    no = Refused("INVALID_REQUEST", "send blocked by session policy")
    post.fake.fault = lambda _, params: no if "One." in params.get("message", "") else None
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.", failed=NOT_TOLD)
    async with post.carried():
        first, _ = await post.until(FAILED, ACKNOWLEDGED)
    assert first.last_error == f"The gateway refused it: {no}"
    assert first.attempts == 3
    assert first.run_id == f"{first.id}.2"
    assert await post.times(NOT_TOLD) == 1


@pytest.mark.parametrize(
    "details",
    [
        {"code": "SESSION_MUTATION_AUTHORIZATION_CHANGED"},
        {"reason": "session-settings-changed"},
        {},
    ],
)
async def test_a_refusal_may_pass(post: Post, details: dict[str, str]) -> None:
    """A gateway refuses what comes just when it writes something else of the session."""
    post.fake.fault = once(Refused("INVALID_REQUEST", "session changed", details=details))
    await post.write("BOARD CHAT\nHello.", failed=NOT_TOLD)
    async with post.carried():
        [message] = await post.until(ACKNOWLEDGED)
    assert (message.attempts, message.run, message.last_error) == (2, 1, None)
    assert await post.times(NOT_TOLD) == 0


async def test_what_is_too_large_for_the_gateway_fails_at_once(post: Post) -> None:
    post.fake.largest = 2_000
    await post.write("BOARD CHAT\n" + "x" * 3_000, "BOARD CHAT\nTwo.")
    async with post.carried():
        first, _ = await post.until(FAILED, ACKNOWLEDGED)
    assert "too large" in (first.last_error or "")
    assert len(post.sends) == 1


async def test_how_a_turn_ended_that_nobody_was_told_of_is_looked_up(post: Post) -> None:
    """Events are lost whenever the connection is."""
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.", "BOARD CHAT\nThree.")
    await post.write("BOARD CHAT\nHello.", to=post.world.lead)
    async with post.carried():
        one, _, _ = await post.until(SENT, SENT, SENT)
        [hello] = await post.until(SENT, agent=post.world.lead)
    await post.fake.end(one.run_id)
    await post.fake.fail(hello.run_id, "No credit.")
    async with post.carried():
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED)
        [hello] = await post.until(FAILED, agent=post.world.lead)
    assert hello.last_error == "Agent failed before reply: No credit."
    assert len(post.sends) == 4


async def test_what_a_gateway_had_in_its_transcript_when_it_was_killed_is_not_said_again(
    post: Post,
) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nHello.")
    async with post.carried():
        await post.until(SENT)
        await post.fake.die()
        await post.until(ACKNOWLEDGED)
    assert post.fake.heard == ["BOARD CHAT\nHello."]


async def test_what_waited_to_be_taken_in_when_a_gateway_was_killed_is_said_in_another_turn(
    post: Post,
) -> None:
    post.fake.is_quick = False
    wanted = [f"BOARD CHAT\n{number}" for number in range(3)]
    await post.write(*wanted, told=TOLD)
    async with post.carried():
        _, second, third = await post.until(SENT, SENT, SENT)
        assert post.fake.heard == wanted[:1]
        await post.fake.die()
        await post.sent_as(f"{third.id}.2")
        await post.fake.end(f"{second.id}.2")
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED)
    assert post.fake.heard == wanted
    assert post.sends[3:] == [f"{second.id}.2", f"{third.id}.2"]
    assert await post.times(TOLD) == 3


async def test_a_message_that_waits_in_the_session_is_not_taken_for_heard(post: Post) -> None:
    """A gateway may tell of an end before the agent has read what waits for it."""
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with post.carried():
        one, two = await post.until(SENT, SENT)
        bare = {"runId": two.run_id, "sessionKey": session_of(post.world.worker), "state": "final"}
        await post.fake.tell("chat", bare)
        await a_little()
        assert await post.states() == [SENT, SENT]
        await post.fake.end(one.run_id)
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)


async def test_what_is_told_to_be_over_before_the_message_is_answered_is_looked_at(
    post: Post,
) -> None:
    """So it is with what a gateway has said before it was restarted, and is sent again."""
    post.fake.is_hasty, post.fake.hesitates = True, 0.6
    await post.write("BOARD CHAT\nHello.")
    [message] = await post.mail()
    session = session_of(post.world.worker)
    post.fake.sessions_of[message.run_id] = session
    post.fake.keep(session, message.run_id, message.content)
    async with post.carried():
        await post.until(ACKNOWLEDGED)
    assert post.fake.heard == ["BOARD CHAT\nHello."]


async def test_what_is_silent_for_long_is_looked_at_and_an_agent_at_work_is_left_in_peace(
    post: Post,
) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nHello.")
    async with post.carried():
        [message] = await post.until(SENT)
        await a_little()
        assert not post.looks
        for minutes in (11, 22):
            post.clock.ahead = timedelta(minutes=minutes)
            await a_little()
        assert len(post.looks) == 2
        assert await post.states() == [SENT]
        post.fake.ends[message.run_id] = {"status": "ok"}
        del post.fake.active[session_of(post.world.worker)]
        post.clock.ahead = timedelta(minutes=40)
        await post.until(ACKNOWLEDGED)
    assert len(post.sends) == 1


async def test_what_a_gateway_is_at_without_showing_it_is_asked_for_by_its_key(
    post: Post,
) -> None:
    post.fake.is_quick = False
    post.fake.is_shy = True
    await post.write("BOARD CHAT\nHello.", told=TOLD)
    async with post.carried():
        [message] = await post.until(SENT)
        for times in range(2, 9):
            await post.fake.drop(1012)
            await post.sent_as(str(message.id), times=times)
        [message] = await post.until(SENT)
        await a_little()
        await post.fake.end(message.run_id)
        await post.until(ACKNOWLEDGED)
    assert post.fake.heard == ["BOARD CHAT\nHello."]
    assert set(post.sends) == {str(message.id)}
    for type in (TOLD, EventType.MESSAGE_QUEUED, EventType.MESSAGE_SENT):
        assert await post.times(type) == 1


async def test_on_a_paused_board_nothing_is_said_again_that_a_gateway_may_have_lost(
    post: Post,
) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nHello.")
    async with post.carried():
        await post.until(SENT)
        await post.change(post.world.board, paused_at=now())
        post.fake.transcripts.clear()
        await post.fake.die()
        await a_little()
        assert len(post.sends) == 1
        await post.change(post.world.board, paused_at=None)
        post.clock.ahead = timedelta(minutes=11)
        [message] = await post.mail()
        await post.sent_as(str(message.id), times=2)


async def test_when_a_turn_ends_one_looks_at_once_what_it_has_taken_in(post: Post) -> None:
    post.fake.is_quick = False
    session = session_of(post.world.worker)
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with post.carried():
        one, two = await post.until(SENT, SENT)
        told = {"runId": two.run_id, "sessionKey": session, "state": "final"}
        await post.fake.tell("chat", told)
        async with asyncio.timeout(5):
            while not post.looks:
                await asyncio.sleep(0.02)
        await a_little()
        [waiting] = post.fake.pending.pop(session)
        post.fake.keep(session, two.run_id, waiting["content"])
        assert await post.states() == [SENT, SENT]
        began = now()
        await post.fake.end(one.run_id)
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert now() - began < timedelta(seconds=3)


async def test_what_a_gateway_has_forgotten_is_said_again_but_not_for_ever(post: Post) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nHello.", told=TOLD)
    async with post.carried():
        [message] = await post.until(SENT)
        for times in range(1, 6):
            post.fake.transcripts.clear()
            await post.fake.die()
            await post.sent_as(str(message.id), times=times + 1)
        await post.until(FAILED)
        await a_little()
        [message] = await post.mail()
    assert message.last_error == "The gateway knows nothing of it."
    assert await post.times(TOLD) == 1


async def test_what_the_agent_acknowledges_by_itself_is_not_carried_and_stays_acknowledged(
    post: Post,
) -> None:
    post.fake.is_quick = False
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.", told=TOLD, failed=NOT_TOLD)
    first, second = await post.mail()
    async with post.transaction() as session:
        await messages.acknowledge(session, post.world.worker, first.id)
    async with post.carried():
        await post.until(ACKNOWLEDGED, SENT)
        async with post.transaction() as session:
            await messages.acknowledge(session, post.world.worker, second.id)
        await post.fake.fail(second.run_id, "No credit.")
        await a_little()
    assert await post.states() == [ACKNOWLEDGED, ACKNOWLEDGED]
    assert post.sends == [str(second.id)]
    assert (await post.times(TOLD), await post.times(NOT_TOLD)) == (2, 0)


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
