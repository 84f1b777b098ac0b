"""The contract of gateways (agents-and-gateways 9; people-and-boards 7, point 34)."""

import logging
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from core.db.engine import TransactionFactory
from models import Agent, Board, Event, EventType, Gateway, GatewayCleanup
from tests.support.api_fixtures import Client
from tests.support.credentials import delete_organization
from tests.support.fake_gateway import TOKEN, FakeGateway
from tests.support.gateway_api import TEST_LOGGERS, check_states, create_gateway, gateway_body
from tests.support.secret_key import CIPHER
from tests.support.world import World

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


async def test_a_gateway_is_created_read_listed_changed_and_deleted(
    alice: Client, fake: FakeGateway, world: World
) -> None:
    """A9.1 to A9.4."""
    made = await create_gateway(alice, fake)
    given = gateway_body(fake)
    assert made | given | {"token": None} == made
    assert made["organization_id"] == str(world.tern.id)
    assert (made["has_token"], made["version"]) == (True, 1)
    assert made["allow_insecure_tls"] is made["disable_device_pairing"] is False
    assert set(check_states(made).values()) == {OK}
    assert made["gateway_version"] == "2026.9.6"
    at = f"/gateways/{made['id']}"
    assert (await alice.get(at)).json() == made
    page = (await alice.get("/gateways")).json()
    assert (page["total"], page["items"]) == (1, [made])
    changed = (await alice.patch(at, json={"workspace_root": " /elsewhere "})).json()
    assert changed["workspace_root"] == "/elsewhere"
    assert changed["version"] == 2
    assert (await alice.delete(at)).json() == {"ok": True}
    assert (await alice.get(at)).status_code == 404
    assert (await alice.get("/agents")).json()["total"] == 4


async def test_a_new_gateway_has_an_agent_that_manages_it(
    alice: Client, fake: FakeGateway, transaction: TransactionFactory
) -> None:
    """A27.3. 9.2, 14.1."""
    made = await create_gateway(alice, fake)
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Workshop Gateway Agent"
    assert main["is_gateway_main"] is True
    assert main["board_id"] is None
    assert main["openclaw_session_id"] == f"agent:mc-gateway-{made['id']}:main"
    assert main["identity_profile"] == {
        "role": "Gateway Agent",
        "communication_style": "direct, concise, practical",
        "emoji": ":compass:",
    }
    assert main["status"] == "provisioning"
    async with transaction() as session:
        types = set(await session.scalars(select(Event.type)))
    assert {EventType.GATEWAY_CREATED, EventType.AGENT_CREATED} <= types


async def test_responses_events_and_logs_contain_no_tokens(
    alice: Client,
    fake: FakeGateway,
    transaction: TransactionFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A27.14; W-10."""
    canary = "canary-5f1c"
    with caplog.at_level(logging.DEBUG):
        made = await create_gateway(alice, fake, token=canary)
        at = f"/gateways/{made['id']}"
        address = {"gateway_url": fake.url}
        header = {"X-Gateway-Token": canary}
        answers = [
            await alice.get(at),
            await alice.get("/gateways"),
            await alice.patch(at, json={"token": canary + "-2"}),
            await alice.post(f"{at}/checks"),
            await alice.get("/gateways/status", params=address, headers=header),
            await alice.get("/activity"),
        ]
    assert all(answer.status_code == 200 for answer in answers)
    assert not any(canary in answer.text for answer in answers)
    assert made["token"] is None
    ours = [record for record in caplog.records if record.name not in TEST_LOGGERS]
    assert ours
    assert not any(canary in record.getMessage() for record in ours)
    async with transaction() as session:
        for table in ("gateways", "activity_events", "agents"):
            rows = await session.scalar(text(f"select json_agg(t)::text from {table} t"))
            assert rows
            assert canary not in rows
    assert fake.connect_params[0]["auth"] == {"token": canary}
    assert not any(canary in request for request in fake.http_requests)


async def test_an_unreachable_gateway_is_stored_with_its_failed_check(
    alice: Client, fake: FakeGateway
) -> None:
    """A27.6. W-36, W-46."""
    fake.requires_pairing = True
    made = await create_gateway(alice, fake)
    states = check_states(made)
    assert list(states) == [
        *("address", "port", "tls", "handshake", "protocol", "token", "device", "scopes"),
        "agents",
    ]
    assert (states["token"], states["device"], states["scopes"]) == (OK, FAILED, UNKNOWN)
    [device] = [check for check in made["checks"] if check["name"] == "device"]
    assert device["command"] == "openclaw devices approve req-123"
    assert device["code"] == "pairing_required"
    fake.approve_device()
    checked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert checked["is_well"] is True
    assert set(check_states(checked).values()) == {OK}
    read = (await alice.get(f"/gateways/{made['id']}")).json()
    assert read["checks"] == checked["checks"]
    assert read["checked_at"] == checked["checked_at"]
    assert read["version"] == 1


async def test_a_gateway_keeps_its_device_and_device_token(
    alice: Client, fake: FakeGateway
) -> None:
    """W-23, W-36; A27.10."""
    made = await create_gateway(alice, fake)
    other = await create_gateway(alice, fake, name="Another", url=f"{fake.url}/other")
    for id in (made["id"], made["id"], other["id"]):
        await alice.post(f"/gateways/{id}/checks")
    shown = [requests["device"]["id"] for requests in fake.connect_params]
    assert shown[0] == shown[2] == shown[3]
    assert shown[1] == shown[4] != shown[0]
    fake.token = "the owner has changed it"
    checked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert checked["is_well"] is True
    assert fake.connect_params[-1]["auth"]["token"].startswith("device token of")


async def test_a_rename_does_not_use_the_network(alice: Client, fake: FakeGateway) -> None:
    """W-46, W-02."""
    made = await create_gateway(alice, fake)
    fake.connect_params.clear()
    at = f"/gateways/{made['id']}"
    renamed = (await alice.patch(at, json={"name": "Shed", "workspace_root": "/x"})).json()
    assert (renamed["name"], renamed["checks"]) == ("Shed", made["checks"])
    assert fake.http_requests == fake.http_requests[:1]
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Shed Gateway Agent"
    await alice.patch(f"/agents/{main['id']}", json={"name": "Sam"})
    await alice.patch(at, json={"name": "Hut"})
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Sam"
    assert not fake.connect_params


async def test_a_changed_connection_is_probed(
    alice: Client, fake: FakeGateway, transaction: TransactionFactory
) -> None:
    """9.3."""
    made = await create_gateway(alice, fake, token="wrong")
    assert check_states(made)["token"] == FAILED
    at = f"/gateways/{made['id']}"
    mended = (await alice.patch(at, json={"token": TOKEN})).json()
    assert set(check_states(mended).values()) == {OK}
    elsewhere: list[dict[str, Any]] = [
        {"url": "ws://127.0.0.1:9"},
        {"url": f"{fake.url}/tenants/other"},
        {"allow_insecure_tls": True},
    ]
    for changes in elsewhere:
        refused = await alice.patch(at, json=changes)
        assert (refused.status_code, refused.json()["code"]) == (422, "gateway_token_required")
    moved = {"url": "ws://127.0.0.1:9", "token": TOKEN}
    nowhere = (await alice.patch(at, json=moved)).json()
    assert check_states(nowhere)["port"] == FAILED
    kept = (await alice.patch(at, json={"url": moved["url"], "token": None})).json()
    assert (kept["has_token"], kept["version"]) == (True, nowhere["version"])
    refused = await alice.patch(at, json={"url": fake.url, "token": None})
    assert (refused.status_code, refused.json()["code"]) == (422, "gateway_token_required")
    none = (await alice.patch(at, json={"url": fake.url, "token": ""})).json()
    assert none["has_token"] is False
    before = len(fake.http_requests)
    for nothing in ({}, {"url": fake.url}, {"token": None}, {"token": "  "}):
        assert (await alice.patch(at, json=nothing)).json()["version"] == none["version"]
    assert len(fake.http_requests) == before
    async with transaction() as session:
        query = select(Event.data).where(Event.type == EventType.GATEWAY_UPDATED)
        texts = [data["changed"] for data in await session.scalars(query.order_by(Event.seq))]
    changed = [fields for fields in texts if fields != ["checks"]]
    assert changed == [["token"], ["url"], ["token", "url"]]


async def test_the_device_token_ends_with_a_change_of_the_tls_verification(
    alice: Client, fake: FakeGateway, transaction: TransactionFactory
) -> None:
    made = await create_gateway(alice, fake)
    at, id = f"/gateways/{made['id']}", UUID(made["id"])
    device_token = CIPHER.encrypt("known to the old host", f"gateways.device_token:{id}")
    for changed in ({"allow_insecure_tls": True}, {"allow_insecure_tls": False}):
        async with transaction() as session:
            gateway = await session.get_one(Gateway, id, populate_existing=True)
            gateway.encrypted_device_token = device_token
        assert (await alice.patch(at, json=changed | {"token": TOKEN})).status_code == 200
        async with transaction() as session:
            gateway = await session.get_one(Gateway, id, populate_existing=True)
            assert gateway.encrypted_device_token != device_token


async def test_invalid_gateway_fields_are_rejected(alice: Client, fake: FakeGateway) -> None:
    """W-46, W-47; A27.14."""
    made = await create_gateway(alice, fake)
    at = f"/gateways/{made['id']}"
    for field in ("name", "url", "workspace_root", "allow_insecure_tls", "disable_device_pairing"):
        assert (await alice.patch(at, json={field: None})).status_code == 422, field
    for field in ("name", "url", "workspace_root"):
        for blank in ("", "   "):
            assert (await alice.patch(at, json={field: blank})).status_code == 422
            refused = await alice.post("/gateways", json=gateway_body(fake, **{field: blank}))
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["body", field]
    for url in ("http://127.0.0.1", "127.0.0.1:18789", "ws://me:secret@here", "ws://here?token=x"):
        refused = await alice.post("/gateways", json=gateway_body(fake, name="Other", url=url))
        assert refused.status_code == 422
        assert refused.json()["code"] == "url_invalid"
        assert "secret" not in refused.text
    for name in ("Two\nlines", "Nul\u0000"):
        assert (
            await alice.post("/gateways", json=gateway_body(fake, name=name))
        ).status_code == 422
    assert (await alice.get(at)).json() == made
    assert (await alice.get("/gateways")).json()["total"] == 1


async def test_gateway_names_are_unique_in_an_organization(
    alice: Client, charlie: Client, fake: FakeGateway
) -> None:
    await create_gateway(alice, fake)
    other = await create_gateway(alice, fake, name="Shed", url=f"{fake.url}/shed")
    for name in ("Workshop", " workshop "):
        for response in (
            await alice.post("/gateways", json=gateway_body(fake, name=name)),
            await alice.patch(f"/gateways/{other['id']}", json={"name": name}),
        ):
            assert response.status_code == 409
            assert response.json()["code"] == "gateway_name_taken"
    await create_gateway(charlie, fake)
    same = await alice.patch(f"/gateways/{other['id']}", json={"name": "SHED"})
    assert same.json()["name"] == "SHED"


@pytest.mark.parametrize("url", ["ws://10.0.0.1", "ws://169.254.169.254/latest", "ws://[fe80::1]"])
async def test_addresses_in_the_servers_network_are_forbidden(
    alice: Client, fake: FakeGateway, url: str
) -> None:
    """A27.14; W-11."""
    made = await create_gateway(alice, fake, url=url)
    assert check_states(made)["address"] == FAILED
    assert made["checks"][0]["code"] == "address_forbidden"
    status = (await alice.get("/gateways/status", params={"gateway_url": url})).json()
    assert (status["connected"], status["code"]) == (False, "gateway_address_forbidden")
    assert not fake.http_requests


async def test_a_gateway_with_boards_cannot_be_deleted(
    alice: Client, gateway: dict[str, Any], world: World, transaction: TransactionFactory
) -> None:
    """A9.4, fixed; W-46."""
    at = f"/gateways/{gateway['id']}"
    refused = await alice.delete(at)
    assert refused.status_code == 409
    assert refused.json()["code"] == "gateway_in_use"
    assert (await alice.get(f"/agents?gateway_id={gateway['id']}")).json()["total"] == 4
    await alice.patch(f"/boards/{world.board.id}", json={"gateway_id": None})
    assert (await alice.delete(at)).status_code == 200
    async with transaction() as session:
        assert await session.scalar(select(Agent.id).where(Agent.board_id.is_(None))) is None
        last = await session.scalars(select(Event.type).order_by(Event.seq.desc()).limit(2))
    assert set(last) == {EventType.GATEWAY_DELETED, EventType.AGENT_DELETED}


async def test_only_the_first_organization_uses_private_addresses(
    charlie: Client, fake: FakeGateway, transaction: TransactionFactory
) -> None:
    made = await create_gateway(charlie, fake)
    [failed] = [one for one in made["checks"] if one["state"] == FAILED]
    assert failed["code"] == "address_forbidden"
    assert fake.http_requests == []
    async with transaction() as session:
        [stored] = (await session.scalars(select(Gateway))).all()
    assert stored.allows_private is False


async def test_deleting_an_organization_deletes_its_gateways_at_once(
    alice: Client,
    gateway: dict[str, Any],
    fake: FakeGateway,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """Point 33. W-46: the cleanup happens later, so the gateway may be unreachable."""
    requests = len(fake.http_requests)
    await delete_organization(transaction, world.alice)
    assert len(fake.http_requests) == requests
    async with transaction() as session:
        for model in (Gateway, Board, Agent):
            mine = model.organization_id == world.tern.id
            assert await session.scalar(select(model.id).where(mine)) is None
        [left] = await session.scalars(select(GatewayCleanup))
    assert f"mc-gateway-{gateway['id']}" in left.agent_keys
    assert len(left.agent_keys) == 4
