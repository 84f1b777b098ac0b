"""Two workers that carry the messages of the same gateway at the same time, with real commits."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import Agent, EventType, MessageState
from services import messages
from tests.carried import Post, a_post, session_of
from tests.conftest import Transaction
from tests.world import World

ROUNDS = 15
TOLD = EventType.TASK_ASSIGNEE_NOTIFIED


@pytest.fixture
async def post(real_transaction: Transaction, real_world: World) -> AsyncIterator[Post]:
    async with a_post(real_transaction, real_world) as post:
        yield post


@pytest.fixture
def crew(post: Post) -> list[Agent]:
    return [post.world.lead, post.world.worker, post.world.other_worker]


async def test_workers_that_all_think_they_hold_a_gateway_say_everything_once_and_in_order(
    post: Post, crew: list[Agent]
) -> None:
    """One whose lease was lost may work on for a moment."""
    wanted = [f"TASK ASSIGNED\n{number}" for number in range(ROUNDS)]
    for content, agent in product(wanted, crew):
        await post.write(content, to=agent, told=TOLD)
    async with post.carried(), post.carried(), post.carried():
        for agent in crew:
            await post.until(*[MessageState.ACKNOWLEDGED] * ROUNDS, agent=agent)
    assert post.fake.most_connected == 3
    assert [post.fake.heard_in(session_of(agent)) for agent in crew] == [wanted] * 3
    assert Counter(post.sends).most_common(1)[0][1] == 1
    for type in (TOLD, EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED):
        assert await post.times(type) == 3 * ROUNDS


async def test_what_is_written_just_when_it_was_seen_that_there_is_no_more_is_not_left_lying(
    post: Post, own_settings: Settings
) -> None:
    wanted = [f"BOARD CHAT\n{number}" for number in range(ROUNDS)]
    left, writing = wanted[1:], asyncio.Lock()

    @asynccontextmanager
    async def slowly() -> AsyncGenerator[AsyncSession]:
        """Open a transaction after which the next message is written, if nothing waits then."""
        async with post.transaction() as session:
            yield session
        await asyncio.sleep(0.1)
        async with writing:
            is_time = left and {*await post.states()} == {MessageState.ACKNOWLEDGED}
            if is_time:
                await post.write(left.pop(0))
        if is_time:
            await asyncio.sleep(0.5)

    doorbell = Doorbell()
    listening = asyncio.create_task(doorbell.listen(own_settings.dsn))
    carrying = asyncio.create_task(post.hold(messages.carrying(slowly, doorbell, every=60)))
    try:
        await post.write(wanted[0])
        await post.until(*[MessageState.ACKNOWLEDGED] * ROUNDS, within=40)
    finally:
        carrying.cancel()
        listening.cancel()
        await asyncio.wait({carrying, listening})
    assert post.fake.heard == wanted


async def test_after_a_board_was_paused_nothing_more_goes_to_its_agents(
    post: Post, crew: list[Agent]
) -> None:
    for agent in crew:
        await post.write(*[f"BOARD CHAT\n{number}" for number in range(50)], to=agent)
    async with post.carried():
        while len(post.sends) < ROUNDS:
            await asyncio.sleep(0.005)
        await post.change(post.world.board, paused_at=now())
        await asyncio.sleep(0.3)  # for what was in hand
        sent = len(post.sends)
        await asyncio.sleep(1)
    assert ROUNDS <= len(post.sends) == sent < 3 * 50
