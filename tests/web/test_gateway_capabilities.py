"""What the page of a gateway shows of the capabilities of its version."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Gateway
from openclaw import Capability
from services import gateways
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_pages import entered, steps
from tests.support.older_gateways import fake_version
from web.gateways.presenter import FEATURE_TEXTS


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(FakeGateway(**fake_version("2026.7.1"))) as fake:
        yield fake


@pytest.fixture
def new(fake: FakeGateway) -> dict[str, str]:
    return {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}


def test_every_capability_except_agents_is_described() -> None:
    assert set(FEATURE_TEXTS) == set(Capability) - {Capability.AGENTS}


async def test_features_that_are_not_available_are_listed(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    address = await entered(alice, new)
    page = (await alice.get(address)).text
    assert steps(page) == ["done"] * 9
    assert "Supports agents" in page
    assert "Unavailable features" in page
    assert "Questions of agents" in page
    assert "From OpenClaw 2026.8.2." in page
    fake.version, fake.missing = "2026.9.6", frozenset()
    await alice.post(f"{address}/checks")
    assert "Unavailable features" not in (await alice.get(address)).text


async def test_a_version_that_cannot_run_agents_has_a_failed_check(
    alice: httpx2.AsyncClient, new: dict[str, str], fake: FakeGateway
) -> None:
    fake.version, fake.missing = "2026.5.18", frozenset({Capability.AGENTS})
    page = (await alice.get(await entered(alice, new))).text
    assert steps(page) == ["done"] * 8 + ["fail"]
    assert "Agents not supported" in page
    assert "Agents require OpenClaw 2026.5.28 or newer. The gateway has 2026.5.18." in page
    assert "openclaw update" in page
    assert "Agents not supported" in (await alice.get("/gateways")).text


async def test_a_required_restart_is_shown_until_the_gateway_has_restarted(
    alice: httpx2.AsyncClient,
    new: dict[str, str],
    fake: FakeGateway,
    transaction: TransactionFactory,
) -> None:
    address = await entered(alice, new)
    async with transaction() as session:
        gateway = await session.scalar(select(Gateway))
        assert gateway
        message = "config.patch persisted but was not applied <b>"
        gateway.capabilities = {**(gateway.capabilities or {}), "restart": message}
    await alice.post(f"{address}/checks")
    page = (await alice.get(address)).text
    assert "Restart required" in page
    assert "persisted but was not applied &lt;b&gt;" in page
    assert "openclaw gateway restart" in page
    fake.boot_id = "b-2"
    await alice.post(f"{address}/checks")
    assert "Restart required" not in (await alice.get(address)).text


async def test_an_unreadable_record_hides_nothing(transaction: TransactionFactory) -> None:
    gateway = Gateway(capabilities={"missing": 3})
    assert list(gateways.list_missing_capabilities(gateway)) == []
