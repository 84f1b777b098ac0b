"""The contract of gateways (agents-and-gateways 9; people-and-boards 7, point 34)."""

import logging
from typing import Any

import pytest
from sqlalchemy import select, text

from models import Agent, Board, Event, EventType, Gateway, GatewayDeparture
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.contract.gateways import entered, new, state_of
from tests.openclaw.fake import TOKEN, Fake
from tests.world import World

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
THEIRS = {"httpx2", "websockets.server"}  # the logs of the test's own browser and gateway


async def test_a_gateway_is_entered_read_listed_changed_and_removed(
    alice: Client, fake: Fake, world: World
) -> None:
    """A9.1 to A9.4."""
    made = await entered(alice, fake)
    given = new(fake)
    assert made | given | {"token": None} == made
    assert made["organization_id"] == str(world.tern.id)
    assert (made["has_token"], made["version"]) == (True, 1)
    assert made["allow_insecure_tls"] is made["disable_device_pairing"] is False
    assert set(state_of(made).values()) == {OK}
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


async def test_with_a_gateway_comes_the_agent_that_looks_after_it(
    alice: Client, fake: Fake, transaction: Transaction
) -> None:
    """A27.3. 9.2, 14.1."""
    made = await entered(alice, fake)
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


async def test_no_answer_no_event_and_no_log_ever_tells_a_token(
    alice: Client, fake: Fake, transaction: Transaction, caplog: pytest.LogCaptureFixture
) -> None:
    """A27.14; W-10."""
    canary = "canary-5f1c"
    with caplog.at_level(logging.DEBUG):
        made = await entered(alice, fake, token=canary)
        at = f"/gateways/{made['id']}"
        address = {"gateway_url": fake.url, "gateway_token": canary}
        answers = [
            await alice.get(at),
            await alice.get("/gateways"),
            await alice.patch(at, json={"token": canary + "-2"}),
            await alice.post(f"{at}/checks"),
            await alice.get("/gateways/status", params=address),
            await alice.get("/activity"),
        ]
    assert all(answer.status_code == 200 for answer in answers)
    assert not any(canary in answer.text for answer in answers)
    assert made["token"] is None
    ours = [record for record in caplog.records if record.name not in THEIRS]
    assert ours
    assert not any(canary in record.getMessage() for record in ours)
    async with transaction() as session:
        for table in ("gateways", "activity_events", "agents"):
            rows = await session.scalar(text(f"select json_agg(t)::text from {table} t"))
            assert rows
            assert canary not in rows
    assert fake.connects[0]["auth"] == {"token": canary}
    assert not any(canary in request for request in fake.requests)


async def test_a_gateway_that_cannot_be_reached_is_kept_and_says_what_is_in_the_way(
    alice: Client, fake: Fake
) -> None:
    """A27.6. W-36, W-46."""
    fake.asks_for_pairing = True
    made = await entered(alice, fake)
    states = state_of(made)
    assert list(states) == [
        *("address", "port", "tls", "handshake", "protocol", "token", "device", "scopes")
    ]
    assert (states["token"], states["device"], states["scopes"]) == (OK, FAILED, UNKNOWN)
    [device] = [check for check in made["checks"] if check["name"] == "device"]
    assert device["command"] == "openclaw devices approve req-123"
    assert device["code"] == "pairing_required"
    fake.approve()
    looked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert looked["is_well"] is True
    assert set(state_of(looked).values()) == {OK}
    read = (await alice.get(f"/gateways/{made['id']}")).json()
    assert read["checks"] == looked["checks"]
    assert read["checked_at"] == looked["checked_at"]
    assert read["version"] == 1


async def test_the_same_device_is_shown_for_ever_and_its_token_is_kept(
    alice: Client, fake: Fake
) -> None:
    """W-23, W-36; A27.10."""
    made = await entered(alice, fake)
    other = await entered(alice, fake, name="Another")
    for id in (made["id"], made["id"], other["id"]):
        await alice.post(f"/gateways/{id}/checks")
    shown = [asked["device"]["id"] for asked in fake.connects]
    assert shown[0] == shown[2] == shown[3]
    assert shown[1] == shown[4] != shown[0]
    fake.token = "the owner has changed it"
    looked = (await alice.post(f"/gateways/{made['id']}/checks")).json()
    assert looked["is_well"] is True
    assert fake.connects[-1]["auth"]["token"].startswith("device token of")


async def test_a_rename_never_asks_the_network(alice: Client, fake: Fake) -> None:
    """W-46, W-02."""
    made = await entered(alice, fake)
    fake.connects.clear()
    at = f"/gateways/{made['id']}"
    renamed = (await alice.patch(at, json={"name": "Shed", "workspace_root": "/x"})).json()
    assert (renamed["name"], renamed["checks"]) == ("Shed", made["checks"])
    assert fake.requests == fake.requests[:1]
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Shed Gateway Agent"
    await alice.patch(f"/agents/{main['id']}", json={"name": "Sam"})
    await alice.patch(at, json={"name": "Hut"})
    [main] = (await alice.get(f"/agents?gateway_id={made['id']}")).json()["items"]
    assert main["name"] == "Sam"
    assert not fake.connects


async def test_a_change_of_how_it_is_reached_is_looked_at(
    alice: Client, fake: Fake, transaction: Transaction
) -> None:
    """9.3."""
    made = await entered(alice, fake, token="wrong")
    assert state_of(made)["token"] == FAILED
    at = f"/gateways/{made['id']}"
    mended = (await alice.patch(at, json={"token": TOKEN})).json()
    assert set(state_of(mended).values()) == {OK}
    nowhere = (await alice.patch(at, json={"url": "ws://127.0.0.1:9"})).json()
    assert state_of(nowhere)["port"] == FAILED
    none = (await alice.patch(at, json={"url": fake.url, "token": None})).json()
    assert none["has_token"] is False
    before = len(fake.requests)
    for nothing in ({}, {"url": fake.url}, {"token": None}, {"token": "  "}):
        assert (await alice.patch(at, json=nothing)).json()["version"] == none["version"]
    assert len(fake.requests) == before
    async with transaction() as session:
        query = select(Event.data).where(Event.type == EventType.GATEWAY_UPDATED)
        told = [data["changed"] for data in await session.scalars(query.order_by(Event.seq))]
    changed = [fields for fields in told if fields != ["checks"]]
    assert changed == [["token"], ["url"], ["token", "url"]]


async def test_fields_that_make_no_sense_are_refused(alice: Client, fake: Fake) -> None:
    """W-46, W-47; A27.14."""
    made = await entered(alice, fake)
    at = f"/gateways/{made['id']}"
    for field in ("name", "url", "workspace_root", "allow_insecure_tls", "disable_device_pairing"):
        assert (await alice.patch(at, json={field: None})).status_code == 422, field
    for field in ("name", "url", "workspace_root"):
        for blank in ("", "   "):
            assert (await alice.patch(at, json={field: blank})).status_code == 422
            refused = await alice.post("/gateways", json=new(fake, **{field: blank}))
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["body", field]
    for url in ("http://127.0.0.1", "127.0.0.1:18789", "ws://me:secret@here", "ws://here?token=x"):
        refused = await alice.post("/gateways", json=new(fake, name="Other", url=url))
        assert refused.status_code == 422
        assert refused.json()["code"] == "url_invalid"
        assert "secret" not in refused.text
    for name in ("Two\nlines", "Nul\u0000"):
        assert (await alice.post("/gateways", json=new(fake, name=name))).status_code == 422
    assert (await alice.get(at)).json() == made
    assert (await alice.get("/gateways")).json()["total"] == 1


async def test_a_name_is_given_once_in_an_organization(
    alice: Client, charlie: Client, fake: Fake
) -> None:
    await entered(alice, fake)
    other = await entered(alice, fake, name="Shed")
    for name in ("Workshop", " workshop "):
        for response in (
            await alice.post("/gateways", json=new(fake, name=name)),
            await alice.patch(f"/gateways/{other['id']}", json={"name": name}),
        ):
            assert response.status_code == 409
            assert response.json()["code"] == "gateway_name_taken"
    await entered(charlie, fake)
    same = await alice.patch(f"/gateways/{other['id']}", json={"name": "SHED"})
    assert same.json()["name"] == "SHED"


@pytest.mark.parametrize("url", ["ws://10.0.0.1", "ws://169.254.169.254/latest", "ws://[fe80::1]"])
async def test_nobody_sends_us_into_what_lies_around_the_server(
    alice: Client, fake: Fake, url: str
) -> None:
    """A27.14; W-11."""
    made = await entered(alice, fake, url=url)
    assert state_of(made)["address"] == FAILED
    assert made["checks"][0]["code"] == "address_forbidden"
    status = (await alice.get("/gateways/status", params={"gateway_url": url})).json()
    assert (status["connected"], status["code"]) == (False, "gateway_address_forbidden")
    assert not fake.requests


async def test_a_gateway_that_boards_are_on_is_not_removed(
    alice: Client, gateway: dict[str, Any], world: World, transaction: Transaction
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


async def test_with_an_organization_go_its_gateways_and_nobody_waits_for_them(
    alice: Client, gateway: dict[str, Any], fake: Fake, world: World, transaction: Transaction
) -> None:
    """Point 33. W-46: what is ours there is removed afterwards, so it may be away."""
    asked = len(fake.requests)
    assert (await alice.delete("/organizations/me")).json() == {"ok": True}
    assert len(fake.requests) == asked
    async with transaction() as session:
        for model in (Gateway, Board, Agent):
            mine = model.organization_id == world.tern.id
            assert await session.scalar(select(model.id).where(mine)) is None
        [left] = await session.scalars(select(GatewayDeparture))
    assert f"mc-gateway-{gateway['id']}" in left.agent_keys
    assert len(left.agent_keys) == 4
