"""A linked agent: from the link to its end, nothing of it is written on its gateway."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

import worker
from kit.errors import NotFound
from kit.settings import Settings
from models import Gateway
from openclaw import Guard
from services import agents, boards, gateways, memory
from services.gateways import Carrier, GatewayDraft, LinkDraft, Resident
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN
from tests.openclaw.workshop import Workshop, working
from tests.world import SEAL, World

READING = {
    *("health", "agents.list", "agents.files.list", "agents.files.get", "config.get"),
    *("cron.list", "cron.scratch.get", "sessions.list", "sessions.subscribe", "chat.history"),
}
SPEAKING = {"chat.send"}
PAUSE = 0.5  # seconds in which a worker could do something


@pytest.fixture
def carrier() -> Carrier:
    return Carrier(SEAL, Guard())


async def entered(session: AsyncSession, world: World, carrier: Carrier, url: str) -> Gateway:
    draft = GatewayDraft(name="Workshop", url=url, workspace_root="/x", token=TOKEN)
    return await gateways.create(session, world.alices, carrier, draft)


def a_writer(workshop: Workshop) -> None:
    workshop.entries["writer"] = {"name": "Wanda", "workspace": "/home/wanda"}
    workshop.files["writer"] = {"AGENTS.md": "Ours.", "SOUL.md": "Writes."}


async def test_nothing_is_written_from_the_link_to_its_end(
    own_settings: Settings, real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """Market need 6: byte for byte the same, with a worker at work all the time."""
    async with working() as workshop:
        a_writer(workshop)
        files, config = dict(workshop.files["writer"]), dict(workshop.entries["writer"])
        async with real_transaction() as session:
            gateway = await entered(session, real_world, carrier, workshop.url)
        async with at_work(own_settings):
            async with carrier.link(gateway) as link:
                there = await gateways.residents(link)
            await lived(real_transaction, real_world, gateway, there)
    changed = {method for method, params in workshop.changes if is_writers(params)}
    called = {method for method, params in workshop.calls if is_writers(params)}
    assert changed <= SPEAKING
    assert called <= READING | SPEAKING
    assert (workshop.files["writer"], workshop.entries["writer"]) == (files, config)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncGenerator[None]:
    """Let a worker do whatever there is to do."""
    stop = asyncio.Event()
    work = asyncio.create_task(worker.run(settings, stop, pace=worker.Pace(hold=0.1)))
    try:
        yield
    finally:
        stop.set()
        await work


def is_writers(params: dict[str, Any]) -> bool:
    return "writer" in repr(params)


async def lived(
    transaction: Transaction, world: World, gateway: Gateway, there: Sequence[Resident]
) -> None:
    """Link an agent, let everything happen to it that is told to others on a gateway, unlink it."""
    draft = LinkDraft(gateway_agent_id="writer", board_id=world.board.id)
    async with transaction() as session:
        agent, _ = await gateways.link_agent(session, world.alices, gateway, there, draft)
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
            await agents.change(session, world.alices, agent.id, change)
    async with transaction() as session:
        await agents.issue_token(session, world.alices, agent.id)
    await asyncio.sleep(PAUSE)
    for words in ("/pause", "/resume"):
        async with transaction() as session:
            place = memory.on_board(await boards.hold(session, world.alice, world.garden.id))
            note = memory.NoteDraft(content=words, tags=["chat"])
            await memory.write(session, world.alice, place, note, base_url="http://here")
    async with transaction() as session:
        board = await boards.hold_as_admin(session, world.alice, world.garden.id)
        await boards.change(session, world.alice, board, {"objective": "Win"})
    await asyncio.sleep(PAUSE)
    async with transaction() as session:
        await agents.delete(session, world.alice, agent.id)
    await asyncio.sleep(PAUSE)


async def test_a_gateway_that_is_removed_meanwhile_links_nothing(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await entered(session, world, carrier, "ws://127.0.0.1:9")
    await gateways.delete(session, world.alices, gateway.id)
    draft = LinkDraft(gateway_agent_id="writer", board_id=world.board.id)
    with pytest.raises(NotFound) as refused:
        await gateways.link_agent(
            session, world.alices, gateway, [Resident("writer", "Wanda")], draft
        )
    assert refused.value.code == "gateway_not_found"


async def test_what_a_gateway_tells_of_its_agents_need_not_make_sense() -> None:
    class Teller:
        async def call(self, *_: Any, **__: Any) -> Any:
            rows = [
                *(5, {}, {"id": 7}, {"id": "a\nb"}, {"id": "x" * 200}),
                {"id": "main", "name": "", "identity": 5},
                {"id": "b", "name": "x" * 500, "identity": {"name": "Bea", "emoji": "x" * 99}},
                {"id": "c", "identity": {"emoji": "🦉"}, "workspace": 5},
            ]
            return {"agents": rows}

    found = await gateways.residents(Teller())  # ty: ignore[invalid-argument-type]
    assert [(one.id, one.name, one.emoji) for one in found] == [
        ("main", "main", None),
        ("b", "Bea", None),
        ("c", "c", "🦉"),
    ]
