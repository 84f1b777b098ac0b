"""The files of an agent on a real gateway: what its model gets, and edits by people.

They run with `./run test --gateway`.
"""

import asyncio
import os
import re
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, Board
from openclaw import DeviceIdentity, GatewayClient, GatewayTarget, RetryPolicy
from openclaw import api as gateway_api
from services.gateways import agent_files, files
from services.gateways.agent_files import AgentFile
from tests.support.fake_llm import FakeLlm, LlmAction, LlmTurn, RunCommand
from tests.support.gateway_rows import make_gateway
from tests.support.live_server import run_server
from tests.support.people_rows import token_secret
from tests.support.real_gateway import RealGateway
from tests.support.world import World

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

LONG_OBJECTIVE = "Every word of this objective has to arrive. " * 60  # some 2,600 characters


def follow_first_message(turn: LlmTurn) -> LlmAction:
    """Follow the first message and the instructions in the files."""
    if len(turn.results) > 1:
        return "HEARTBEAT_OK"
    if turn.results:
        return RunCommand("./mc POST /agent/heartbeat; pwd")
    [command] = re.findall(r"```sh\n(cd .*?)```", turn.system, re.DOTALL)
    return RunCommand(command)


async def test_an_agent_reads_its_complete_files_and_checks_in(
    real_gateway: RealGateway,
    model: FakeLlm,
    isolated_settings: Settings,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
    tmp_path: Path,
) -> None:
    model.behavior = follow_first_message
    root = tmp_path / "agents of tern"
    async with isolated_transaction() as session:
        row = make_gateway(isolated_world.tern, workspace_root=str(root))
        session.add(row)
        await session.flush()
        board = await session.get_one(Board, isolated_world.board.id)
        board.gateway_id, board.objective = row.id, LONG_OBJECTIVE
        worker = await session.get_one(Agent, isolated_world.worker.id)
        worker.gateway_id, worker.last_seen_at = row.id, None
        worker.soul_template = "You count every word. " * 500
    async with (
        run_server(isolated_settings) as url,
        GatewayClient(
            _create_target(real_gateway), retry_policy=RetryPolicy(total_timeout=120)
        ) as client,
    ):
        async with isolated_transaction() as session:
            worker = await session.get_one(Agent, isolated_world.worker.id)
            facts = await files.load_agent_facts(
                session, worker, base_url=url, token=token_secret(worker)
            )
        key = f"mc-{worker.id}"
        await _create_agent(client, key, facts)
        params = {
            "sessionKey": facts.session_key,
            "message": files.render_first_message(facts),
            "deliver": False,
            "idempotencyKey": "hello",
        }
        await client.call_with_retry("chat.send", params, is_idempotent=True)
        async with asyncio.timeout(90):
            while not (turns := _turns_of(model, key)) or len(turns[-1].results) < 2:
                await asyncio.sleep(0.1)
        history = await client.call_with_retry(
            "chat.history", {"sessionKey": facts.session_key, "limit": 50}
        )

    for text in files.render_files(facts).values():
        for line in filter(None, text.split("\n")):
            assert line in turns[0].system, line
    checked_in = turns[-1].results[-1]
    assert f'"id":"{worker.id}"' in checked_in
    assert str(root) in checked_in
    assert token_secret(worker) not in str(history)
    async with isolated_transaction() as session:
        assert (await session.get_one(Agent, worker.id)).last_seen_at is not None


def _turns_of(model: FakeLlm, key: str) -> list[LlmTurn]:
    return [turn for turn in model.turns if turn.agent == key]


def _create_target(gateway: RealGateway) -> GatewayTarget:
    return GatewayTarget(gateway.url, token=gateway.token, device=DeviceIdentity.generate())


async def _create_agent(client: GatewayClient, key: str, facts: files.AgentFacts) -> None:
    """Create an agent and write its files."""
    await client.call_with_retry("agents.create", {"name": key, "workspace": facts.workspace})
    async with asyncio.timeout(60):
        while key not in str(await client.call_with_retry("agents.list", {}, is_idempotent=True)):
            await asyncio.sleep(0.1)
    for name, content in files.render_files(facts).items():
        await client.call_with_retry(
            "agents.files.set", {"agentId": key, "name": name, "content": content}
        )


async def test_a_file_is_written_only_if_it_has_not_changed(
    real_gateway: RealGateway, isolated_world: World, tmp_path: Path
) -> None:
    agent = isolated_world.worker
    agent.openclaw_session_id, name = f"agent:editor-{agent.id}:main", "SOUL.md"
    replaced: list[AgentFile] = []

    async def record_replaced(found: AgentFile) -> None:
        replaced.append(found)
        if len(replaced) == 2:
            await gateway_api.write_agent_file(client, key, name, "Theirs.\n")

    policy = RetryPolicy(total_timeout=120)
    async with GatewayClient(_create_target(real_gateway), retry_policy=policy) as client:
        key = agent.gateway_key or ""
        params = {"name": key, "workspace": str(tmp_path / "editor")}
        await client.call_with_retry("agents.create", params)
        async with asyncio.timeout(60):
            while key not in str(await client.call_with_retry("agents.list", {})):
                await asyncio.sleep(0.1)
        write = partial(
            agent_files.write_file, client, agent, name, record_replaced=record_replaced
        )
        first = await agent_files.read_file(client, agent, name)
        assert (await write("First.\n", version=first.version)).is_written
        present = await agent_files.read_file(client, agent, name)
        assert present.content == "First.\n"
        assert present.updated_at is not None
        assert abs(now() - present.updated_at) < timedelta(minutes=5)
        outdated = await write("Second.\n", version=first.version)
        assert (outdated.is_written, outdated.found.content) == (False, "First.\n")
        overtaken = await write("Second.\n", version=present.version)
        assert (overtaken.is_written, overtaken.found.content) == (False, "Theirs.\n")
