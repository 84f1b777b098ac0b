"""Messages to the agents of a real gateway: `./run test --gateway`.

What the fake says of turns in tests/openclaw/talking.py has to be what this one says.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select

from models import Agent, DesiredState, Gateway, MessageState
from openclaw import Budget, Device, Event, Link, Target
from services.messages import turns
from services.messages.turns import BEGUN, ENDED, RUNNING, UNKNOWN, Fate
from tests.carried import Post, session_of
from tests.conftest import Transaction
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, Refuse, Thought, Turn
from tests.openclaw.talking import Talking
from tests.world import SEAL, World, a_gateway

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)

PATIENT = Budget(whole=120)
MAIN = "agent:main:main"
LONG = 60.0  # seconds in which a turn is over, also on a machine that is busy


class Mind:
    """Thinks at once, but for what it is told to think about until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def __call__(self, turn: Turn) -> Thought:
        if "SLOW" in turn.told:
            self.go_on.wait(LONG)
        return Refuse("no credit") if "BAD" in turn.told else f"I heard: {turn.told[:60]}"


@pytest.fixture
def mind(model: Model) -> Mind:
    model.mind = mind = Mind()
    return mind


@pytest.fixture
def gateway(real_gateway: Real, mind: Mind) -> Real:
    return real_gateway


@dataclass
class Talk:
    """A session of a real agent, and what is told of its turns."""

    link: Link
    ends: list[tuple[str, Any]] = field(default_factory=list)

    async def say(self, content: str, run_id: str) -> turns.Turn:
        return await turns.begin(self.link, MAIN, content, run_id, deliver=False)

    async def look(self, run_id: str) -> turns.Turn | None:
        seen = await turns.look(self.link, MAIN, [run_id])
        return seen[run_id] if seen else None

    async def listen(self) -> None:
        listening = self.link.subscribe("chat")
        while True:
            event: Event = await listening.next()
            if said := turns.told(event):
                self.ends.append(said)

    async def end_of(self, run_id: str) -> Any:
        """Wait until a turn is told to be over, and return what is told first."""
        async with asyncio.timeout(LONG):
            while True:
                found = [turn for told, turn in self.ends if told == run_id]
                if found:
                    return found[0]
                await asyncio.sleep(0.05)

    async def restarted(self) -> None:
        """Have the gateway restart, and wait until it is there again."""
        await self.link.call("gateway.restart.request", {"reason": "test"})
        async with asyncio.timeout(2 * LONG):
            while self.link.is_up:
                await asyncio.sleep(0.05)
            while await self.look("nothing") is None:
                await asyncio.sleep(0.5)
                await self.link.hello()


@pytest.fixture
async def talk(gateway: Real) -> AsyncIterator[Talk]:
    target = Target(gateway.url, token=gateway.token, device=Device.new())
    async with Link(target, budget=PATIENT) as link:
        await link.hello()
        talk = Talk(link)
        listening = asyncio.create_task(talk.listen())
        yield talk
        listening.cancel()


async def test_a_turn_that_ends_well_is_told_and_known_under_its_key(talk: Talk) -> None:
    assert await talk.say("Hello", "well") == BEGUN
    assert await talk.end_of("well") == ENDED
    assert await talk.say("Hello", "well") == ENDED
    assert await talk.look("well") == ENDED
    assert await talk.look("never said") == UNKNOWN


async def test_a_turn_that_fails_is_told_with_its_reason_and_repeats_it(talk: Talk) -> None:
    assert await talk.say("BAD", "bad") == BEGUN
    told = await talk.end_of("bad")
    assert told.fate is Fate.FAILED
    assert told.reason
    again = await talk.say("BAD", "bad")
    assert again.fate is Fate.FAILED
    assert await talk.say("Better", "bad.2") == BEGUN
    assert await talk.end_of("bad.2") == ENDED


async def test_what_is_said_while_a_turn_runs_is_not_heard_before_the_gateway_says_so(
    talk: Talk, mind: Mind, model: Model
) -> None:
    mind.go_on.clear()
    assert await talk.say("SLOW", "slow") == BEGUN
    assert await talk.say("And this", "beside") == BEGUN
    assert await talk.say("SLOW", "slow") == RUNNING
    assert await talk.look("slow") == RUNNING
    mind.go_on.set()
    assert await talk.end_of("slow") == ENDED
    await talk.end_of("beside")
    async with asyncio.timeout(LONG):
        while await talk.look("beside") != ENDED:
            await asyncio.sleep(0.1)
    assert [turn.told for turn in model.turns if "And this" in turn.told]


async def test_a_turn_that_is_stopped_has_failed(talk: Talk, mind: Mind, model: Model) -> None:
    mind.go_on.clear()
    assert await talk.say("SLOW again", "stopped") == BEGUN
    await until_thought_of(model, "SLOW again")
    await talk.link.call("chat.abort", {"sessionKey": MAIN, "runId": "stopped"})
    assert await talk.end_of("stopped") == turns.Turn(Fate.FAILED, turns.STOPPED)
    assert await talk.say("SLOW again", "stopped") == turns.Turn(Fate.FAILED, turns.STOPPED)
    mind.go_on.set()


async def test_an_agent_that_is_not_there_is_no_passing_trouble(talk: Talk) -> None:
    nobody = "agent:nobody:main"
    refused = await turns.begin(talk.link, nobody, "Hello", "to nobody", deliver=False)
    assert refused.fate is Fate.REFUSED
    assert refused.reason.startswith("The gateway refused it: ")


async def test_after_a_restart_what_was_said_is_known_and_not_said_again(
    talk: Talk, model: Model
) -> None:
    assert await talk.say("Only once, please", "once") == BEGUN
    assert await talk.end_of("once") == ENDED
    await talk.restarted()
    assert await talk.look("once") == ENDED
    talk.ends.clear()
    assert await talk.say("Only once, please", "once") == BEGUN
    assert await talk.end_of("once") is None
    assert await talk.look("once") == ENDED
    assert len([turn for turn in model.turns if "Only once, please" in turn.told]) == 1


@pytest.fixture
async def crew(
    talk: Talk, gateway: Real, real_transaction: Transaction, real_world: World
) -> list[Agent]:
    """Two agents that live on the gateway."""
    crew = [real_world.lead, real_world.worker]
    row = a_gateway(real_world.tern, url=gateway.url)
    row.sealed_token = SEAL.close(gateway.token, f"gateways.token:{row.id}")
    async with real_transaction() as session:
        session.add(row)
        await session.flush()
        for agent in crew:
            agent.gateway_id, agent.openclaw_session_id = row.id, session_of(agent)
            agent.desired_state, agent.observed_generation = DesiredState.RUNNING, 1
            await session.merge(agent)
    for agent in crew:
        await talk.link.call("agents.create", {"name": f"mc-{agent.id}"})
    await until_listed(talk.link, [f"mc-{agent.id}" for agent in crew])
    return crew


async def test_messages_are_carried_over_a_gateway_that_restarts_in_between(
    talk: Talk,
    crew: list[Agent],
    real_transaction: Transaction,
    real_world: World,
    model: Model,
) -> None:
    """Market need 18, and W-43: once, and in order."""
    async with real_transaction() as session:
        row = await session.scalar(select(Gateway))
    assert row
    post = Post(Talking(), real_world, row, real_transaction, budget=PATIENT)
    wanted = [f"BOARD CHAT\nNumber {number}." for number in range(6)]
    async with post.carried():
        for content, agent in product(wanted, crew):
            await post.write(content, to=agent)
            if content == wanted[3] and agent is crew[0]:
                await until_thought_of(model, wanted[0])
                await talk.link.call("gateway.restart.request", {"reason": "test"})
        for agent in crew:
            await post.until(*[MessageState.ACKNOWLEDGED] * 6, agent=agent, within=4 * LONG)
    for agent in crew:
        asked = {"sessionKey": session_of(agent), "limit": 200}
        said = (await talk.link.call("chat.history", asked, repeatable=True))["messages"]
        heard = [one["content"] for one in said if one["role"] == "user"]
        assert [text for text in heard if text.startswith("BOARD CHAT")] == wanted


async def until_thought_of(model: Model, told: str) -> None:
    """Wait until the model is asked about something."""
    async with asyncio.timeout(LONG):
        while not any(told in turn.told for turn in model.turns):
            await asyncio.sleep(0.05)


async def until_listed(link: Link, keys: list[str]) -> None:
    async with asyncio.timeout(LONG):
        while True:
            said = await link.call("agents.list", {}, repeatable=True)
            if {*keys} <= {one["id"] for one in said["agents"]}:
                return
            await asyncio.sleep(0.5)
