"""Outgoing webhooks through the API: rights, validation, and the log."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import WebhookDelivery, WebhookEndpoint, new_id
from tests.support.api_fixtures import Client, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.world import World

NEW = {"url": "https://receiver.example/hook", "description": "Statistics"}


@pytest.fixture
async def webhook(alice: Client) -> str:
    """The path of a webhook of Tern."""
    created = (await alice.post("/webhooks", json=NEW)).json()
    return f"/webhooks/{created['id']}"


async def test_a_webhook_is_created_and_its_secret_is_shown_once(
    alice: Client, transaction: TransactionFactory
) -> None:
    body = NEW | {"event_types": ["task.created", "agent.held", "task.created"]}
    created = await alice.post("/webhooks", json=body)
    assert created.status_code == 200, created.text
    secret = created.json()["secret"]
    assert secret.startswith("whsec_")
    listed = (await alice.get("/webhooks")).json()
    [read] = listed["items"]
    assert read["event_types"] == ["task.created", "agent.held"]
    assert (read["state"], read["board_ids"], read["pending_count"]) == ("enabled", [], 0)
    path = f"/webhooks/{read['id']}"
    assert (await alice.get(path)).json() == read
    assert secret not in (await alice.get(path)).text
    async with transaction() as session:
        row = (await session.scalars(select(WebhookEndpoint))).one()
    assert secret not in row.encrypted_secret
    rotated = (await alice.post(f"{path}/secret-rotations")).json()
    assert rotated["secret"] not in ("", secret)
    assert rotated["previous_secret_expires_at"]


async def test_only_admins_use_webhooks(
    alice: Client,
    bob: Client,
    charlie: Client,
    worker: Client,
    anonymous: Client,
    webhook: str,
) -> None:
    period = {"since": now().isoformat(), "until": (now() + timedelta(1)).isoformat()}
    [delivery] = [(await alice.post(f"{webhook}/tests")).json()]
    one = f"{webhook}/deliveries/{delivery['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("GET", webhook, None),
        ("PATCH", webhook, {"description": "Mine"}),
        ("POST", f"{webhook}/secret-rotations", None),
        ("POST", f"{webhook}/tests", None),
        ("POST", f"{webhook}/replays", period),
        ("GET", f"{webhook}/deliveries", None),
        ("GET", one, None),
        ("POST", f"{one}/replays", None),
        ("DELETE", webhook, None),
    ]
    for who, expected in ((bob, 403), (charlie, 404), (worker, 401), (anonymous, 401)):
        for method, path, body in calls:
            response = await who.request(method, path, json=body)
            assert response.status_code == expected, (method, path, response.text)
    for who, expected in ((bob, 403), (worker, 401), (anonymous, 401)):
        assert (await who.get("/webhooks")).status_code == expected
        assert (await who.post("/webhooks", json=NEW)).status_code == expected
    assert (await charlie.get("/webhooks")).json()["items"] == []
    assert (await alice.get(webhook)).json()["description"] == "Statistics"


async def test_an_admin_receives_only_boards_that_they_can_read(
    alice: Client, dana: Client, webhook: str, world: World
) -> None:
    """Dana is an admin without access to a board."""
    for body in (NEW, NEW | {"board_ids": [str(world.board.id)]}):
        refused = await dana.post("/webhooks", json=body)
        assert refused.status_code == 403
        assert refused.json()["code"] == "webhook_boards_forbidden"
    stolen = {"url": "https://dana.example/hook"}
    assert (await dana.patch(webhook, json=stolen)).status_code == 403
    assert (await dana.patch(webhook, json={"description": "Renamed"})).status_code == 200
    delivery = (await alice.post(f"{webhook}/tests")).json()
    path = f"{webhook}/deliveries/{delivery['id']}"
    assert (await dana.get(path)).json()["payload"] is None
    assert "webhook.test" in (await alice.get(path)).json()["payload"]
    limited = await alice.post("/webhooks", json=NEW | {"board_ids": [str(world.board.id)]})
    assert limited.status_code == 200
    foreign = NEW | {"board_ids": [str(world.charlies_board.id)]}
    assert (await alice.post("/webhooks", json=foreign)).status_code == 403


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"url": "ftp://receiver.example"}, "webhook_url_invalid"),
        ({"url": "receiver.example"}, "webhook_url_invalid"),
        ({"url": "https://me:secret@receiver.example"}, "webhook_url_invalid"),
        ({"url": "https://receiver.example/\r\nX: y"}, "webhook_url_invalid"),
        ({"url": "https://receiver.example/" + "a" * 3_000}, None),
        ({"url": ""}, "webhook_url_invalid"),
        ({"url": None}, None),
        ({"event_types": ["task.exploded"]}, "event_type_unknown"),
        ({"event_types": ["message.sent"]}, "event_type_unknown"),
        ({"event_types": "task.created"}, None),
        ({"board_ids": ["here"]}, None),
        ({"description": "x" * 201}, None),
    ],
)
async def test_invalid_fields_are_rejected(
    alice: Client, webhook: str, changed: dict[str, Any], code: str | None
) -> None:
    for response in (
        await alice.post("/webhooks", json=NEW | changed),
        await alice.patch(webhook, json=changed),
    ):
        assert response.status_code == 422
        assert "secret" not in response.text
        if code:
            assert response.json()["code"] == code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/hook", "address_forbidden"),
        ("http://localhost:9/hook", "address_forbidden"),  # a name with a private address
        ("http://[::ffff:192.168.0.1]/", "address_forbidden"),
        ("http://0x7f.1/", "address_forbidden"),
        ("http://169.254.169.254/latest", "address_never_allowed"),
        ("https://[fe80::1]/", "address_never_allowed"),
    ],
)
async def test_a_forbidden_address_is_not_stored(
    alice: Client, webhook: str, url: str, code: str
) -> None:
    for response in (
        await alice.post("/webhooks", json=NEW | {"url": url}),
        await alice.patch(webhook, json={"url": url, "description": "Moved"}),
    ):
        assert response.status_code == 422
        assert response.json()["code"] == code
    assert (await alice.get("/webhooks")).json()["total"] == 1
    kept = (await alice.get(webhook)).json()
    assert (kept["url"], kept["description"]) == (NEW["url"], NEW["description"])


async def test_an_allowed_private_address_is_only_for_the_first_organization(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    allowed = settings.model_copy(update={"outbound_allow_private": LOOPBACK_NETWORKS})
    app = build_app_on(allowed, transaction)
    alice, charlie = create_client(app, world.alice), create_client(app, world.charlie)
    local = NEW | {"url": "http://127.0.0.1:9/hook"}
    assert (await alice.post("/webhooks", json=local)).status_code == 200
    refused = await charlie.post("/webhooks", json=local)
    assert (refused.status_code, refused.json()["code"]) == (422, "address_forbidden")


async def test_an_unknown_name_is_stored_with_a_warning(alice: Client, webhook: str) -> None:
    """It may be known later, and deliveries are repeated for days."""
    unknown = {"url": "https://no-such-name.invalid/hook"}
    created = await alice.post("/webhooks", json=NEW | unknown)
    assert created.json()["has_unknown_host"] is True
    known = await alice.post("/webhooks", json=NEW | {"url": "https://1.1.1.1/hook"})
    assert known.json()["has_unknown_host"] is False
    moved = await alice.patch(webhook, json=unknown)
    assert (moved.json()["url"], moved.json()["has_unknown_host"]) == (unknown["url"], True)
    renamed = await alice.patch(webhook, json=unknown | {"description": "Other"})
    assert renamed.json()["has_unknown_host"] is False  # the address is the same


async def test_a_stored_forbidden_address_does_not_prevent_other_changes(
    alice: Client, webhook: str, transaction: TransactionFactory
) -> None:
    """It was stored before it was checked, or the setting was changed."""
    url = "http://10.0.0.1/hook"
    async with transaction() as session:
        await session.execute(update(WebhookEndpoint).values(url=url))
    changed = await alice.patch(webhook, json={"url": url, "description": "Other"})
    assert changed.status_code == 200
    assert changed.json()["description"] == "Other"


async def test_a_webhook_is_paused_changed_and_deleted(
    alice: Client, webhook: str, transaction: TransactionFactory
) -> None:
    paused = await alice.patch(webhook, json={"is_enabled": False, "event_types": ["run.ended"]})
    assert (paused.json()["state"], paused.json()["event_types"]) == ("paused", ["run.ended"])
    assert (await alice.patch(webhook, json={"is_enabled": True})).json()["state"] == "enabled"
    assert (await alice.patch(webhook, json={})).status_code == 422
    assert (await alice.post(f"{webhook}/tests")).status_code == 200
    assert (await alice.delete(webhook)).json() == {"ok": True}
    assert (await alice.get(webhook)).status_code == 404
    async with transaction() as session:
        assert (await session.scalars(select(WebhookDelivery))).all() == []
    audit = await alice.get("/organizations/me/audit", params={"action": "webhook_endpoint"})
    assert [one["action"] for one in audit.json()["items"]] == [
        "webhook_endpoint.deleted",
        "webhook_endpoint.updated",
        "webhook_endpoint.updated",
        "webhook_endpoint.created",
    ]


async def test_the_log_is_filtered_and_a_delivery_sent_again(alice: Client, webhook: str) -> None:
    delivery = (await alice.post(f"{webhook}/tests")).json()
    assert (delivery["state"], delivery["event_id"]) == ("pending", None)
    log = f"{webhook}/deliveries"
    assert (await alice.get(log, params={"state": "pending"})).json()["items"] == [delivery]
    assert (await alice.get(log, params={"state": "failed"})).json()["items"] == []
    assert (await alice.get(log, params={"state": "lost"})).status_code == 422
    assert (await alice.get(f"{log}/{new_id()}")).status_code == 404
    assert (await alice.post(f"{log}/{new_id()}/replays")).status_code == 404
    assert (await alice.post(f"{log}/{delivery['id']}/replays")).status_code == 200
    await alice.patch(webhook, json={"is_enabled": False})
    refused = await alice.post(f"{log}/{delivery['id']}/replays")
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")


async def test_a_period_that_is_not_possible_is_rejected(alice: Client, webhook: str) -> None:
    for since, until, code in (
        (now(), now() - timedelta(hours=1), "replay_period_empty"),
        (now() - timedelta(days=31), now(), "replay_too_old"),
    ):
        body = {"since": since.isoformat(), "until": until.isoformat()}
        refused = await alice.post(f"{webhook}/replays", json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    body = {"since": now().isoformat(), "until": (now() + timedelta(1)).isoformat()}
    assert (await alice.post(f"{webhook}/replays", json=body)).json() == {"count": 0}


async def test_the_number_of_webhooks_is_limited(alice: Client, webhook: str) -> None:
    for _ in range(19):
        assert (await alice.post("/webhooks", json=NEW)).status_code == 200
    refused = await alice.post("/webhooks", json=NEW)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")


async def test_tests_and_repetitions_have_a_limit(alice: Client, webhook: str) -> None:
    for _ in range(40):
        assert (await alice.post(f"{webhook}/tests")).status_code == 200
    refused = await alice.post(f"{webhook}/tests")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_manual_messages")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
