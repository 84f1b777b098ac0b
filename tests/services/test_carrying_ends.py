"""How the turn ends that a message began: told, looked up, or asked for again."""

import asyncio
from datetime import timedelta

from kit.clock import now
from models import EventType
from services import messages
from tests.carried import Post, session_of
from tests.services.carriage import ACKNOWLEDGED, FAILED, NOT_TOLD, SENT, TOLD, a_little


async def test_a_turn_that_is_over_before_the_message_is_answered_counts(post: Post) -> None:
    post.fake.is_hasty, post.fake.hesitates = True, 0.6
    await post.write("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with post.carried():
        await post.until(ACKNOWLEDGED, ACKNOWLEDGED)
    assert not [method for method, _ in post.fake.calls if method == "chat.history"]


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
