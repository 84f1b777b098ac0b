"""Packs and skills through the API: archives of a fake host, and requests about a gateway."""

from typing import Any

import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, Gateway, Message
from tests.support.api_fixtures import Client
from tests.support.app_on_transactions import build_app_on
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.skill_archives import FILES, REPOSITORY, ArchiveHost
from tests.support.world import World

MARKETPLACE, PACKS = "/skills/marketplace", "/skills/packs"


@pytest.fixture
def host() -> ArchiveHost:
    """The hosts of archives."""
    host = ArchiveHost()
    host.put(FILES)
    return host


@pytest.fixture
def api_app(api_settings: Settings, transaction: TransactionFactory, host: ArchiveHost) -> ASGIApp:
    """The application, whose archives are from `host`."""
    return build_app_on(api_settings, transaction, archive_client=host)


@pytest.fixture
async def gateway(world: World, transaction: TransactionFactory) -> Gateway:
    gateway = make_gateway(world.tern, workspace_root="/agents/")
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(make_main_agent(gateway))
    return gateway


@pytest.fixture
async def main_agent(gateway: Gateway, transaction: TransactionFactory) -> Agent:
    async with transaction() as session:
        return (await session.scalars(select(Agent).filter_by(gateway_id=gateway.id))).one()


async def call(client: Client, method: str, path: str, status: int = 200, **options: Any) -> Any:
    response = await client.request(method, path, **options)
    assert response.status_code == status, response.text
    return response.json()


async def add_pack(client: Client, **fields: Any) -> dict[str, Any]:
    return await call(client, "POST", PACKS, json={"source_url": REPOSITORY, **fields})


async def sync(client: Client, pack: dict[str, Any], status: int = 200) -> Any:
    return await call(client, "POST", f"{PACKS}/{pack['id']}/sync", status)


async def list_cards(client: Client, gateway: Gateway, **query: Any) -> list[dict[str, Any]]:
    params = {"gateway_id": str(gateway.id), **query}
    return await call(client, "GET", MARKETPLACE, params=params)


async def list_names(client: Client, gateway: Gateway, **query: Any) -> list[str]:
    return sorted(card["name"] for card in await list_cards(client, gateway, **query))


@pytest.fixture
async def card(alice: Client, gateway: Gateway) -> dict[str, Any]:
    """The skill "Report writer" of a synchronized pack."""
    await sync(alice, await add_pack(alice))
    return next(one for one in await list_cards(alice, gateway) if one["name"] == "Report writer")


async def request_action(
    client: Client, card: dict[str, Any], gateway: Gateway, action: str = "install"
) -> dict[str, Any]:
    path = f"{MARKETPLACE}/{card['id']}/{action}"
    return await call(client, "POST", path, params={"gateway_id": str(gateway.id)})


async def list_messages(transaction: TransactionFactory, agent: Agent) -> list[Message]:
    async with transaction() as session:
        query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
        return list(await session.scalars(query))
