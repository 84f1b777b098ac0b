"""Messages are carried to agents on gateways: once, in order, whatever happens on the way."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import Doorbell
from models import EventType
from services import messages
from tests.carried import Post, session_of
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import After, Before, Fault
from tests.services.carriage import ACKNOWLEDGED, FAILED, NOT_TOLD, QUEUED, SENT, TOLD, once


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
