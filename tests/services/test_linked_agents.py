"""Linked agents: nothing is ever written to their gateway."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

import worker.main
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import NotFound
from models import Gateway
from openclaw import AddressPolicy
from services import agents, boards, gateways, memory
from services.gateways import GatewayAgentLink, GatewayConnector, GatewayCreate, ListedAgent
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import TOKEN
from tests.support.secret_key import CIPHER
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

READ_METHODS = {
    *("health", "agents.list", "agents.files.list", "agents.files.get", "config.get"),
    *("cron.list", "cron.scratch.get", "sessions.list", "sessions.subscribe", "chat.history"),
}
CHAT_METHODS = {"chat.send"}
PAUSE = 0.5 if IS_COMPLETE_RUN else 0.1  # seconds in which a worker could do something


@pytest.fixture
def connector() -> GatewayConnector:
    return GatewayConnector(CIPHER, AddressPolicy())


async def create_gateway(
    session: AsyncSession, world: World, connector: GatewayConnector, url: str
) -> Gateway:
    draft = GatewayCreate(name="Workshop", url=url, workspace_root="/x", token=TOKEN)
    return await gateways.create_gateway(session, world.alice_member, connector, draft)


def add_writer(fake_gateway: FakeAgentsGateway) -> None:
    fake_gateway.entries["writer"] = {"name": "Wanda", "workspace": "/home/wanda"}
    fake_gateway.files["writer"] = {"AGENTS.md": "Ours.", "SOUL.md": "Writes."}


async def test_nothing_is_written_to_the_gateway_for_a_linked_agent(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
) -> None:
    """Market need 6: everything stays byte-identical while a worker runs."""
    async with run_fake_agents_gateway() as fake_gateway:
        add_writer(fake_gateway)
        files, config = dict(fake_gateway.files["writer"]), dict(fake_gateway.entries["writer"])
        async with isolated_transaction() as session:
            gateway = await create_gateway(session, isolated_world, connector, fake_gateway.url)
        async with run_worker(isolated_settings):
            async with connector.connect(gateway) as client:
                present = await gateways.list_gateway_agents(client)
            await exercise_linked_agent(isolated_transaction, isolated_world, gateway, present)
    changed = {method for method, params in fake_gateway.changes if is_about_writer(params)}
    called = {method for method, params in fake_gateway.calls if is_about_writer(params)}
    assert changed <= CHAT_METHODS
    assert called <= READ_METHODS | CHAT_METHODS
    assert (fake_gateway.files["writer"], fake_gateway.entries["writer"]) == (files, config)


@asynccontextmanager
async def run_worker(settings: Settings) -> AsyncGenerator[None]:
    """Run a worker."""
    stop = asyncio.Event()
    work = asyncio.create_task(
        worker.main.run(settings, stop, intervals=worker.main.WorkerIntervals(leases=0.1))
    )
    try:
        yield
    finally:
        stop.set()
        await work


def is_about_writer(params: dict[str, Any]) -> bool:
    return "writer" in repr(params)


async def exercise_linked_agent(
    transaction: TransactionFactory, world: World, gateway: Gateway, present: Sequence[ListedAgent]
) -> None:
    """Link an agent, cause everything that agents are notified of, and unlink it."""
    draft = GatewayAgentLink(gateway_agent_id="writer", board_id=world.board.id)
    async with transaction() as session:
        agent, _ = await gateways.link_agent(session, world.alice_member, gateway, present, draft)
    changes: list[dict[str, Any]] = [
        {"name": "Walter"},
        {"identity_profile": {"role": "Writer"}},
        {"soul_template": "Write well."},
        {"heartbeat_config": {"every": "5m"}},
        {"board_id": world.garden.id},
    ]
    await asyncio.sleep(PAUSE)
    for change in changes:
        async with transaction() as session:
            await agents.update_agent(
                session, world.alice_member, agent.id, agents.AgentUpdate.parse(change)
            )
    async with transaction() as session:
        await agents.issue_token(session, world.alice_member, agent.id)
    await asyncio.sleep(PAUSE)
    for words in ("/pause", "/resume"):
        async with transaction() as session:
            place = memory.board_scope(
                await boards.lock_board(session, world.alice, world.garden.id)
            )
            note = memory.NoteCreate(content=words, tags=["chat"])
            await memory.create_note(session, world.alice, place, note, base_url="http://here")
    async with transaction() as session:
        board = await boards.lock_board_as_admin(session, world.alice, world.garden.id)
        await boards.update_board(
            session, world.alice, board, boards.BoardUpdate.of(objective="Win")
        )
    await asyncio.sleep(PAUSE)
    async with transaction() as session:
        await agents.delete_agent(session, world.alice, agent.id)
    await asyncio.sleep(PAUSE)


async def test_an_agent_of_a_gateway_deleted_meanwhile_is_not_linked(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await create_gateway(session, world, connector, "ws://127.0.0.1:9")
    await gateways.delete_gateway(session, world.alice_member, gateway.id)
    draft = GatewayAgentLink(gateway_agent_id="writer", board_id=world.board.id)
    with pytest.raises(NotFound) as refused:
        await gateways.link_agent(
            session, world.alice_member, gateway, [ListedAgent("writer", "Wanda")], draft
        )
    assert refused.value.code == "gateway_not_found"


async def test_invalid_lists_of_agents_do_no_harm() -> None:
    class FakeClient:
        async def call_with_retry(self, *_: Any, **__: Any) -> Any:
            rows = [
                *(5, {}, {"id": 7}, {"id": "a\nb"}, {"id": "x" * 200}),
                {"id": "main", "name": "", "identity": 5},
                {"id": "b", "name": "x" * 500, "identity": {"name": "Bea", "emoji": "x" * 99}},
                {"id": "c", "identity": {"emoji": "🦉"}, "workspace": 5},
            ]
            return {"agents": rows}

    found = await gateways.list_gateway_agents(FakeClient())  # ty: ignore[invalid-argument-type]
    assert [(one.id, one.name, one.emoji) for one in found] == [
        ("main", "main", None),
        ("b", "Bea", None),
        ("c", "c", "🦉"),
    ]
