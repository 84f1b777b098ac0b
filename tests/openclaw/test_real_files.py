"""What we write for agents, as the agent of a real gateway has it: `./run test --gateway`."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from kit.settings import Settings
from models import Agent, Board
from openclaw import Budget, Device, Link, Target
from services import agent_files
from tests.api.serving import serving
from tests.conftest import Transaction
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, Run, Thought, Turn
from tests.world import World, a_gateway, token_of

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)

LONG = "Every word of this objective has to arrive. " * 60  # some 2,600 characters


def begins(turn: Turn) -> Thought:
    """Do what the first message says, by what the files say."""
    if len(turn.results) > 1:
        return "HEARTBEAT_OK"
    if turn.results:
        return Run("./mc POST /agent/heartbeat; pwd")
    [make] = re.findall(r"```sh\n(cd .*?)```", turn.system, re.DOTALL)
    return Run(make)


async def test_an_agent_reads_its_files_to_the_last_word_and_checks_in_as_they_say(
    real_gateway: Real,
    model: Model,
    own_settings: Settings,
    real_world: World,
    real_transaction: Transaction,
    tmp_path: Path,
) -> None:
    model.mind = begins
    root = tmp_path / "agents of tern"
    async with real_transaction() as session:
        row = a_gateway(real_world.tern, workspace_root=str(root))
        session.add(row)
        await session.flush()
        board = await session.get_one(Board, real_world.board.id)
        board.gateway_id, board.objective = row.id, LONG
        worker = await session.get_one(Agent, real_world.worker.id)
        worker.gateway_id, worker.last_seen_at = row.id, None
        worker.soul_template = "You count every word. " * 500
    async with (
        serving(own_settings) as url,
        Link(_target(real_gateway), budget=Budget(whole=120)) as link,
    ):
        async with real_transaction() as session:
            worker = await session.get_one(Agent, real_world.worker.id)
            facts = await agent_files.facts_of(
                session, worker, base_url=url, token=token_of(worker)
            )
        key = f"mc-{worker.id}"
        await _bring(link, key, facts)
        params = {
            "sessionKey": facts.session_key,
            "message": agent_files.first_message(facts),
            "deliver": False,
            "idempotencyKey": "hello",
        }
        await link.call("chat.send", params, repeatable=True)
        async with asyncio.timeout(90):
            while not (turns := _of(model, key)) or len(turns[-1].results) < 2:
                await asyncio.sleep(0.1)
        history = await link.call("chat.history", {"sessionKey": facts.session_key, "limit": 50})

    for text in agent_files.render(facts).values():
        for line in filter(None, text.split("\n")):
            assert line in turns[0].system, line
    checked_in = turns[-1].results[-1]
    assert f'"id":"{worker.id}"' in checked_in
    assert str(root) in checked_in
    assert token_of(worker) not in str(history)
    async with real_transaction() as session:
        assert (await session.get_one(Agent, worker.id)).last_seen_at is not None


def _of(model: Model, key: str) -> list[Turn]:
    return [turn for turn in model.turns if turn.agent == key]


def _target(gateway: Real) -> Target:
    return Target(gateway.url, token=gateway.token, device=Device.new())


async def _bring(link: Link, key: str, facts: agent_files.Facts) -> None:
    """Make an agent, and write its files."""
    await link.call("agents.create", {"name": key, "workspace": facts.workspace})
    async with asyncio.timeout(60):
        while key not in str(await link.call("agents.list", {}, repeatable=True)):
            await asyncio.sleep(0.1)
    for name, content in agent_files.render(facts).items():
        await link.call("agents.files.set", {"agentId": key, "name": name, "content": content})
