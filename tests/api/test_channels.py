"""Channels through the API: each user has their own, and secrets are never returned."""

import re

import pytest
from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import NotificationChannel, NotificationDelivery, new_id
from tests.support.api_fixtures import Client
from tests.support.api_objects import CHANNEL_DELIVERY_ID, CHANNEL_ID, create_api_objects
from tests.support.channel_hosts import mail_server, receiver, settings
from tests.support.http_receiver import HttpReceiver
from tests.support.mail_server import MailServer
from tests.support.world import World

__all__ = ["mail_server", "receiver", "settings"]

TOKEN = "tk_0123456789abcdef"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_a_channel_is_created_changed_tested_and_deleted(
    alice: Client, receiver: HttpReceiver
) -> None:
    url = f"{receiver.address}/a-secret-topic"
    created = await alice.post("/channels", json={"kind": "ntfy", "url": url, "token": TOKEN})
    assert created.status_code == 200, created.text
    channel = created.json()
    assert (channel["name"], channel["state"]) == ("ntfy", "active")
    assert channel["receiver"] == receiver.address.partition("//")[2]
    path = f"/channels/{channel['id']}"
    renamed = (await alice.patch(path, json={"name": "Phone"})).json()
    assert renamed["name"] == "Phone"
    tested = await alice.post(f"{path}/tests")
    [delivery] = (await alice.get(f"{path}/deliveries")).json()
    assert (delivery["id"], delivery["state"]) == (tested.json()["delivery_id"], "delivered")
    assert (delivery["kind"], delivery["next_attempt_at"]) == (None, None)
    assert len(receiver.requests) == 1
    paused = (await alice.patch(path, json={"is_paused": True})).json()
    assert paused["state"] == "paused"
    assert (await alice.get("/channels")).json() == [paused]
    texts = [one.text for one in (created, tested, await alice.get(f"{path}/deliveries"))]
    assert not [text for text in texts if TOKEN in text or "a-secret-topic" in text]
    assert (await alice.delete(path)).json() == {"ok": True}
    assert (await alice.get(path)).status_code == 404


async def test_a_channel_with_a_forbidden_address_is_not_stored(
    alice: Client, bob: Client, receiver: HttpReceiver
) -> None:
    """Private addresses that are allowed are for admins of the first organization."""
    for who, url, code in (
        (bob, receiver.address, "address_forbidden"),
        (alice, "http://10.0.0.1/", "address_forbidden"),
        (alice, "http://169.254.169.254/", "address_never_allowed"),
    ):
        for kind in ("slack", "ntfy", "webhook"):
            body = {"kind": kind, "url": f"{url}/topic", "secret": SECRET}
            rejected = await who.post("/channels", json=body)
            assert (rejected.status_code, rejected.json()["code"]) == (422, code)
    for who in (alice, bob):
        assert (await who.get("/channels")).json() == []
    unknown = {"kind": "slack", "url": "https://no-such-name.invalid/hook"}
    assert (await bob.post("/channels", json=unknown)).status_code == 200


async def test_an_address_is_confirmed_with_its_code(
    alice: Client, mail_server: MailServer
) -> None:
    body = {"kind": "email", "address": "olga@elsewhere.example"}
    channel = (await alice.post("/channels", json=body)).json()
    path = f"/channels/{channel['id']}"
    assert channel["state"] == "unconfirmed"
    early = await alice.post(f"{path}/tests")
    assert (early.status_code, early.json()["code"]) == (409, "channel_not_confirmed")
    assert (await alice.post(f"{path}/codes")).json()["state"] == "unconfirmed"
    first, second = (re.findall(r"\d{6}", mail["Subject"])[0] for mail in mail_server.mails)
    for code in {first, "x"} - {second}:
        wrong = await alice.post(f"{path}/confirmations", json={"code": code})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "code_invalid")
    right = await alice.post(f"{path}/confirmations", json={"code": second})
    assert right.json()["state"] == "active"


async def test_no_address_is_added_that_cannot_get_its_code_now(
    alice: Client, mail_server: MailServer
) -> None:
    body = {"kind": "email", "address": "olga@elsewhere.example"}
    created = (await alice.post("/channels", json=body)).json()
    for _ in range(19):
        await alice.post(f"/channels/{created['id']}/codes")
    refused = await alice.post("/channels", json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_manual_messages")
    assert [one["id"] for one in (await alice.get("/channels")).json()] == [created["id"]]


async def test_an_address_that_cannot_be_decrypted_is_not_confirmed(
    alice: Client, mail_server: MailServer, transaction: TransactionFactory
) -> None:
    body = {"kind": "email", "address": "olga@elsewhere.example"}
    path = f"/channels/{(await alice.post('/channels', json=body)).json()['id']}"
    async with transaction() as session:
        await session.execute(update(NotificationChannel).values(encrypted_config="v1.AAAA"))
    refused = await alice.post(f"{path}/confirmations", json={"code": "123456"})
    assert (refused.status_code, refused.json()["code"]) == (422, "code_expired")
    again = (await alice.post(f"{path}/codes")).json()
    assert (again["state"], again["last_error"]) == ("unreadable", "config_unreadable")
    assert len(mail_server.mails) == 1


async def test_wrong_codes_are_counted(alice: Client, mail_server: MailServer) -> None:
    body = {"kind": "email", "address": "olga@elsewhere.example"}
    path = f"/channels/{(await alice.post('/channels', json=body)).json()['id']}/confirmations"
    codes = [(await alice.post(path, json={"code": "x"})).json()["code"] for _ in range(6)]
    assert codes == [*["code_invalid"] * 5, "code_expired"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"kind": "webhook", "url": "https://x.example"}, "channel_secret_required"),
        ({"kind": "webhook", "url": "ftp://x", "secret": SECRET}, "channel_url_invalid"),
        ({"kind": "ntfy", "url": "https://ntfy.sh/"}, "ntfy_topic_required"),
        ({"kind": "email", "address": "olga"}, "email_invalid"),
    ],
)
async def test_bad_configurations_are_refused(alice: Client, body: dict, code: str) -> None:
    refused = await alice.post("/channels", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert (await alice.post("/channels", json={"kind": "push"})).status_code == 422
    assert (await alice.get("/channels")).json() == []


async def test_a_chosen_secret_is_not_returned(alice: Client) -> None:
    body = {"kind": "webhook", "url": "https://x.example/path", "secret": SECRET}
    created = await alice.post("/channels", json=body)
    assert created.status_code == 200
    path = f"/channels/{created.json()['id']}"
    for answer in (created, await alice.get(path), await alice.get("/channels")):
        assert SECRET not in answer.text


async def test_a_failed_message_is_sent_again(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        await create_api_objects(session, world)
    path = f"/channels/{CHANNEL_ID}/deliveries"
    again = f"{path}/{CHANNEL_DELIVERY_ID}/replays"
    assert (await alice.post(again)).json() == {"ok": True}
    [delivery] = (await alice.get(path)).json()
    assert (delivery["state"], delivery["kind"]) == ("queued", "mention")
    assert delivery["next_attempt_at"]
    assert (await alice.post(again)).json()["code"] == "delivery_not_failed"
    assert (await alice.post(f"{path}/{new_id()}/replays")).status_code == 404
    async with transaction() as session:
        failed = update(NotificationDelivery).where(NotificationDelivery.id == CHANNEL_DELIVERY_ID)
        await session.execute(failed.values(state="failed", last_error="rejected"))
    for _ in range(17):
        await alice.post(again)
    limited = await alice.post(again)
    assert (limited.status_code, limited.json()["code"]) == (429, "too_many_manual_messages")


async def test_others_have_no_access_to_a_channel(
    alice: Client,
    bob: Client,
    charlie: Client,
    worker: Client,
    anonymous: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        await create_api_objects(session, world)
    path = f"/channels/{CHANNEL_ID}"
    calls = [
        *(("GET", path, None), ("PATCH", path, {"name": "Mine"}), ("DELETE", path, None)),
        *(("POST", f"{path}/tests", None), ("POST", f"{path}/codes", None)),
        ("POST", f"{path}/confirmations", {"code": "1"}),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/{CHANNEL_DELIVERY_ID}/replays", None),
    ]
    for method, address, body in calls:
        for client, status in ((bob, 404), (charlie, 404), (worker, 401), (anonymous, 401)):
            answer = await client.request(method, address, json=body)
            assert answer.status_code in (status, 403 if client is worker else status), address
    for client in (bob, charlie):
        assert (await client.get("/channels")).json() == []
    assert (await alice.get(path)).json()["name"] == "Phone"
