"""The pages of channels: set up, test, confirm, pause, delete, and the log."""

import re

import pytest
from sqlalchemy import select, update

from core.clock import now
from models import (
    ChannelKind,
    DeliveryState,
    NotificationChannel,
    NotificationDelivery,
    User,
    new_id,
)
from services import channels
from tests.support.board_rows import make_notification
from tests.support.browser_subscription import BrowserSubscription
from tests.support.channel_hosts import mail_server, receiver, settings
from tests.support.plain_browser import PlainPage
from tests.support.secret_key import CIPHER

__all__ = ["mail_server", "receiver", "settings"]

PATH = "/settings/channels"


async def add(client, kind: str, **fields: str) -> str:
    """Add a channel, and return the path of its page."""
    answer = await client.post(f"{PATH}/new/{kind}", data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


async def test_a_channel_is_added_and_tested(alice, receiver) -> None:
    url = f"{receiver.address}/services/T0/B0/the-secret"
    path = await add(alice, "slack", url=url, name="Team")
    tested = await alice.post(f"{path}/tests", data={})
    page = (await alice.get(tested.headers["Location"])).text
    assert "The test was delivered." in page
    assert receiver.requests[0].json["text"] == "Test of Mission Control"
    assert "the-secret" not in page
    assert "127.0.0.1" in page
    index = (await alice.get(PATH)).text
    assert ">Team<" in index
    assert "Active" in index


async def test_a_channel_with_a_forbidden_address_is_shown_again(alice) -> None:
    fields = {"url": "http://10.0.0.1/hook", "name": "Chat"}
    rejected = await alice.post("/settings/channels/new/slack", data=fields)
    assert rejected.status_code == 422
    assert "This address is in a private network." in rejected.text
    assert "Chat" not in (await alice.get("/settings/notifications")).text


async def test_a_failed_test_says_what_to_do(alice, receiver) -> None:
    receiver.answer(404, b"no_service")
    path = await add(alice, "slack", url=f"{receiver.address}/services/x")
    tested = await alice.post(f"{path}/tests", data={})
    page = (await alice.get(tested.headers["Location"])).text
    assert "The last message was not delivered." in page
    assert "does not know this address any more" in page
    assert "no_service" in page
    assert "Failing" in (await alice.get(PATH)).text
    for paused in ("on", ""):
        await alice.post(f"{path}/pauses", data={"paused": paused})
    assert "Active" in (await alice.get(PATH)).text  # until a message fails


async def test_only_a_message_that_waits_is_said_to_be_tried_again(
    alice, receiver, transaction
) -> None:
    receiver.answer(503, b"busy")
    path = await add(alice, "slack", url=f"{receiver.address}/services/x")
    await alice.post(f"{path}/tests", data={})
    page = (await alice.get(path)).text
    assert "The service has a problem." in page
    assert "tried again" not in page
    async with transaction() as session:
        queued = update(NotificationDelivery).values(state=DeliveryState.QUEUED)
        await session.execute(queued)
    assert "The service has a problem. It is retried for a day." in (await alice.get(path)).text


async def test_an_email_address_is_confirmed_with_a_code(alice, mail_server) -> None:
    path = await add(alice, "email", address="olga@elsewhere.example")
    assert "A code was sent to olga@elsewhere.example." in (await alice.get(path)).text
    [mail] = mail_server.mails
    assert mail.get_content().rstrip().endswith(path)
    code = re.findall(r"\d{6}", mail["Subject"])[0]
    wrong = await alice.post(f"{path}/confirmations", data={"code": "abc"})
    assert wrong.status_code == 422
    assert "This is not the code." in wrong.text
    early = await alice.post(f"{path}/tests", data={})
    assert early.status_code == 409
    assert "Confirm the e-mail address of this channel first." in early.text
    right = await alice.post(f"{path}/confirmations", data={"code": code})
    assert right.headers["Location"] == path
    assert "Send a test" in (await alice.get(path)).text
    await alice.post(f"{path}/codes", data={})
    assert len(mail_server.mails) <= 2


async def test_an_unconfirmed_address_gets_no_test(alice, mail_server) -> None:
    path = await add(alice, "email", address="olga@elsewhere.example")
    assert (await alice.post(f"{path}/tests", data={})).status_code == 409
    assert len(mail_server.mails) == 1


async def test_another_code_replaces_the_first(alice, mail_server) -> None:
    path = await add(alice, "email", address="olga@elsewhere.example")
    await alice.post(f"{path}/codes", data={})
    first, second = [re.findall(r"\d{6}", mail["Subject"])[0] for mail in mail_server.mails]
    if first != second:
        assert (await alice.post(f"{path}/confirmations", data={"code": first})).status_code == 422
    assert (await alice.post(f"{path}/confirmations", data={"code": second})).status_code == 303


async def test_an_email_that_is_rejected_is_shown(alice, mail_server) -> None:
    mail_server.answers["RCPT"] = "550 No such user"
    path = await add(alice, "email", address="olga@elsewhere.example")
    assert "The mail server does not accept this address." in (await alice.get(path)).text


async def test_a_test_email_arrives(alice, mail_server, transaction, world) -> None:
    async with transaction() as session:
        verified = update(User).where(User.id == world.alice.id).values(email_verified_at=now())
        await session.execute(verified)
    path = await add(alice, "email", address=world.alice.email)
    await alice.post(f"{path}/tests", data={})
    assert [mail["Subject"] for mail in mail_server.mails] == ["Test of Mission Control"]


async def test_the_secret_of_a_webhook_is_shown_once(alice, receiver) -> None:
    path = await add(alice, "webhook", url=f"{receiver.address}/hook")
    assert "whsec_" in (await alice.get(path)).text
    assert "whsec_" not in (await alice.get(path)).text


async def test_a_browser_is_subscribed_and_removed_when_it_has_ended(
    alice, receiver, transaction
) -> None:
    browser = BrowserSubscription(f"{receiver.address}/push/secret")
    receiver.answer(201)
    path = await add(alice, "push", **browser.config)
    await alice.post(f"{path}/tests", data={})
    assert browser.decrypt(receiver.requests[0])["title"] == "Test of Mission Control"
    receiver.answer(410)
    tested = await alice.post(f"{path}/tests", data={})
    page = (await alice.get(tested.headers["Location"])).text
    assert "The browser has ended its subscription." in page
    page = (await alice.get(f"{PATH}/new/push")).text
    assert re.search(r'data-push="[\w-]{87}"', page)


async def test_a_channel_is_renamed_paused_and_deleted(alice, receiver) -> None:
    path = await add(alice, "discord", url=f"{receiver.address}/hook")
    assert (await alice.post(f"{path}/names", data={"name": " "})).status_code == 422
    await alice.post(f"{path}/names", data={"name": "Ops <b>"})
    page = await PlainPage(alice).open(path)
    await page.press("Pause")
    assert page.heading == "Ops <b>"
    assert "Paused" in page.text
    await page.press("Resume")
    assert "Active" in page.text
    assert (await alice.post(f"{path}/deletions", data={})).headers["Location"] == PATH
    assert (await alice.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        ("slack", {"url": "hooks.slack.com"}, "This is not an address that begins with"),
        ("ntfy", {"url": "https://ntfy.sh"}, "The address must end with the topic"),
        ("telegram", {"token": "x", "chat_id": "1"}, "Copy it from @BotFather."),
        ("webhook", {"url": "https://a.example", "secret": "x"}, "Leave the field empty"),
        ("email", {"address": "nobody"}, "This is not an e-mail address."),
        ("push", {"endpoint": "https://a.example"}, "The browser has sent no valid subscription"),
    ],
)
async def test_a_bad_field_is_named_and_secrets_are_not_shown_again(
    alice, kind: str, fields: dict, text: str
) -> None:
    answer = await alice.post(f"{PATH}/new/{kind}", data=fields)
    assert answer.status_code == 422
    assert text in answer.text


async def test_every_kind_explains_where_its_address_is_found(alice) -> None:
    for kind in ChannelKind:
        answer = await alice.get(f"{PATH}/new/{kind}")
        assert answer.status_code == 200
    assert "api.slack.com/apps" in (await alice.get(f"{PATH}/new/slack")).text
    assert (await alice.get(f"{PATH}/new/pigeon")).status_code == 404


async def test_nobody_sees_the_channels_of_others(alice, bob, charlie, receiver) -> None:
    path = await add(alice, "slack", url=f"{receiver.address}/x", name="Only mine")
    for other in (bob, charlie):
        assert "Only mine" not in (await other.get(PATH)).text
        assert (await other.get(path)).status_code == 404
        for action in ("tests", "names", "pauses", "deletions", "codes", "confirmations"):
            fields = {"name": "x", "code": "1"}
            assert (await other.post(f"{path}/{action}", data=fields)).status_code == 404
    assert receiver.requests == []


async def test_the_number_of_tests_is_limited(alice, receiver) -> None:
    path = await add(alice, "slack", url=f"{receiver.address}/x")
    statuses = [(await alice.post(f"{path}/tests", data={})).status_code for _ in range(21)]
    assert statuses == [303] * 20 + [429]
    assert len(receiver.requests) == 20


async def test_no_address_is_added_that_cannot_get_its_code_now(alice, mail_server) -> None:
    path = await add(alice, "email", address="olga@elsewhere.example")
    for _ in range(19):
        await alice.post(f"{path}/codes", data={})
    fields = {"address": "other@elsewhere.example", "name": "Not yet"}
    refused = await alice.post(f"{PATH}/new/email", data=fields)
    assert refused.status_code == 429
    assert "Not yet" not in (await alice.get(PATH)).text


async def test_a_channel_that_cannot_be_decrypted_is_set_up_again(
    alice, receiver, transaction
) -> None:
    path = await add(alice, "slack", url=f"{receiver.address}/x")
    async with transaction() as session:
        await session.execute(update(NotificationChannel).values(encrypted_config="v1.AAAA"))
    assert "another SECRET_KEY" in (await alice.get(path)).text
    assert "Cannot be read" in (await alice.get(PATH)).text
    assert (await alice.post(f"{path}/tests", data={})).status_code == 303


async def test_the_log_shows_what_was_sent_without_secrets(
    alice, receiver, transaction, world
) -> None:
    receiver.answer(400, b"<script>invalid the-secret")
    path = await add(alice, "slack", url=f"{receiver.address}/services/the-secret")
    await alice.post(f"{path}/tests", data={})
    page = (await alice.get(path)).text
    assert "&lt;script&gt;invalid ***" in page
    assert "the-secret" not in page
    assert "Send again" not in page
    async with transaction() as session:
        [stored] = await session.scalars(select(NotificationDelivery))
        [channel] = await session.scalars(select(NotificationChannel))
        assert channels.decrypt_config(CIPHER, channel)["url"].endswith("the-secret")
    assert "the-secret" not in f"{stored.request} {stored.response}"
    again = await alice.post(f"{path}/deliveries/{stored.id}/sendings", data={})
    assert again.status_code == 404
    async with transaction() as session:
        mention = make_notification(world.board, world.alice)
        session.add(mention)
        await session.flush()
        await session.execute(update(NotificationDelivery).values(notification_id=mention.id))
    shown = await PlainPage(alice).open(path)
    await shown.press("Send again")
    assert "Waiting" in shown.text


async def test_the_service_worker_is_served_for_all_pages(anonymous) -> None:
    answer = await anonymous.get("/service_worker.js")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Service-Worker-Allowed"] == "/"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


async def test_a_page_says_that_too_much_was_sent_by_hand(alice, receiver) -> None:
    receiver.answer(404, b"no_service")
    path = await add(alice, "slack", url=f"{receiver.address}/services/x")
    for _ in range(20):
        assert (await alice.post(f"{path}/tests", data={})).status_code == 303
    for address in ("tests", f"deliveries/{new_id()}/sendings"):
        refused = await alice.post(f"{path}/{address}", data={})
        assert refused.status_code == 429
        assert "Too many tests and repetitions were sent by hand. Try again in" in refused.text
    assert len(receiver.requests) == 20
