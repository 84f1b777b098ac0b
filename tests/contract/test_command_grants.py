"""Standing grants of a gateway over the API."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select

from core.db.engine import TransactionFactory
from models import AuditRecord, EventType, Gateway
from tests.support.api_fixtures import Client
from tests.support.fake_requests_gateway import FakeRequestsGateway, run_fake_requests_gateway
from tests.support.gateway_recordings import load_recording
from tests.support.older_gateways import fake_version
from tests.support.requests_gateway import agent_key, put_agents_on_gateway
from tests.support.world import World


@pytest.fixture
async def fake(world: World) -> AsyncIterator[FakeRequestsGateway]:
    async with run_fake_requests_gateway() as fake:
        recorded = load_recording()["grants"]
        ours = {"grantId": "g-1", "agentId": agent_key(world.worker)}
        fake.grants = [recorded[0] | ours, recorded[2] | {"grantId": "g-2"}]
        yield fake


@pytest.fixture
async def path(fake: FakeRequestsGateway, transaction: TransactionFactory, world: World) -> str:
    async with transaction() as session:
        gateway: Gateway = await put_agents_on_gateway(session, world, fake.url)
    return f"/gateways/{gateway.id}/standing-grants"


async def test_grants_are_listed(alice: Client, path: str, world: World) -> None:
    answer = (await alice.get(path)).json()
    assert answer["is_supported"]
    active, revoked = answer["grants"]
    assert (active["id"], active["agent_id"], active["state"]) == (
        *("g-1", str(world.worker.id), "active"),
    )
    recorded = load_recording()["grants"][0]
    assert active["command"] == recorded["command"]
    assert active["request_id"] == recorded["mintedByApprovalId"]
    assert active["expires_at"] is active["revoked_at"] is None
    assert (revoked["agent_key"], revoked["agent_id"]) == ("worker", None)
    assert (revoked["state"], revoked["revoked_by"]) == ("revoked", "Mission Control")
    assert (revoked["use_count"], revoked["last_used_at"] is None) == (1, False)


async def test_a_grant_is_revoked_and_recorded_once(
    alice: Client, path: str, fake: FakeRequestsGateway, transaction: TransactionFactory
) -> None:
    for _ in range(2):
        answer = await alice.delete(f"{path}/g-1")
        assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
    assert fake.grants[0]["revokedAtMs"]
    async with transaction() as session:
        is_it = AuditRecord.action == EventType.GATEWAY_GRANT_REVOKED
        assert await session.scalar(select(func.count()).where(is_it)) == 1
    missing = await alice.delete(f"{path}/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "standing_grant_not_found")


@pytest.mark.parametrize(("name", "status"), [("bob", 403), ("rita", 403), ("charlie", 404)])
async def test_only_admins_list_and_revoke_grants(
    name: str, status: int, request: pytest.FixtureRequest, path: str, fake: FakeRequestsGateway
) -> None:
    client: Client = request.getfixturevalue(name)
    assert (await client.get(path)).status_code == status
    assert (await client.delete(f"{path}/g-1")).status_code == status
    assert not fake.connect_params


async def test_grants_on_boards_that_an_admin_cannot_read_are_hidden(
    dana: Client, path: str, fake: FakeRequestsGateway
) -> None:
    hidden, shown = (await dana.get(path)).json()["grants"]
    assert (hidden["can_read"], shown["can_read"]) == (False, True)
    for name in ("agent_key", "agent_id", "automation_id", "automation", "command", "cwd"):
        assert hidden[name] is None
    answer = await dana.delete(f"{path}/g-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "board_read_forbidden")
    assert fake.grants[0]["revokedAtMs"] is None


async def test_a_grant_that_is_not_listed_is_revoked_with_its_id(
    alice: Client, path: str, fake: FakeRequestsGateway
) -> None:
    over, older = fake.grants[1], fake.grants[0]
    fake.grants = [over | {"grantId": f"g-{n}"} for n in range(2, 502)] + [older]
    fake.handlers["exec.approval.grants.list"] = lambda params: {
        "grants": fake.grants[: params["limit"]]
    }
    listed = (await alice.get(path)).json()
    assert (len(listed["grants"]), listed["is_complete"]) == (500, False)
    answer = await alice.delete(f"{path}/g-1")
    assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
    assert answer.json()["command"] is answer.json()["agent_key"] is None
    assert older["revokedAtMs"]


async def test_an_older_gateway_has_no_grants(
    alice: Client, path: str, fake: FakeRequestsGateway
) -> None:
    older: dict[str, Any] = fake_version("2026.6.35")
    fake.version, fake.missing = older["version"], older["missing"]
    assert (await alice.get(path)).json() == {
        "is_supported": False,
        "is_complete": True,
        "grants": [],
    }
    assert (await alice.delete(f"{path}/g-1")).status_code == 404
