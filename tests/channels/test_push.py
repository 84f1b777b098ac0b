"""Web push, to an endpoint that verifies the sender and decrypts the message as a browser does."""

from dataclasses import replace

import pytest

from core.config.settings import Settings
from core.security.encryption import SecretCipher
from services.channels import ChannelMessage, ChannelSender
from services.notifications import SendOutcome, SendReason
from tests.support.browser_subscription import BrowserSubscription, decode, read_vapid
from tests.support.http_receiver import HttpReceiver


@pytest.fixture
def browser(receiver: HttpReceiver) -> BrowserSubscription:
    receiver.answer(201)
    return BrowserSubscription(f"{receiver.address}/push/v1/secret-subscription")


async def test_a_browser_decrypts_the_message_and_knows_the_sender(
    sender: ChannelSender,
    receiver: HttpReceiver,
    browser: BrowserSubscription,
    message: ChannelMessage,
) -> None:
    result = await sender.send("push", browser.config, message, allows_private=True)
    assert result.outcome is SendOutcome.DELIVERED
    [request] = receiver.requests
    assert browser.decrypt(request) == {
        "title": "Approval: <!channel> *Deploy* & [go](http://evil.example) now",
        "body": message.body,
        "url": message.url,
        "tag": "approval:1",
        "language": "en",
        "is_urgent": True,
    }
    claims, key = read_vapid(request)
    assert claims["aud"] == receiver.address
    assert claims["sub"].startswith("mailto:")
    assert key == sender.push_key
    assert len(decode(key)) == 65
    assert request.headers["ttl"] == "86400"
    assert request.headers["urgency"] == "high"


async def test_messages_about_one_object_replace_each_other(
    sender: ChannelSender,
    receiver: HttpReceiver,
    browser: BrowserSubscription,
    message: ChannelMessage,
) -> None:
    for tag in ("approval:1", "approval:1", "approval:2"):
        await sender.send("push", browser.config, replace(message, tag=tag), allows_private=True)
    one, same, other = [request.headers["topic"] for request in receiver.requests]
    assert one == same != other
    assert len(one) == 32


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (404, SendOutcome.GONE, SendReason.SUBSCRIPTION_ENDED),
        (410, SendOutcome.GONE, SendReason.SUBSCRIPTION_ENDED),
        (403, SendOutcome.FAILED, SendReason.UNAUTHORIZED),
        (413, SendOutcome.FAILED, SendReason.TOO_LARGE),
        (429, SendOutcome.RETRY, SendReason.RATE_LIMITED),
        (500, SendOutcome.RETRY, SendReason.SERVER_ERROR),
    ],
)
async def test_a_subscription_that_has_ended_is_distinguished(
    sender: ChannelSender,
    receiver: HttpReceiver,
    browser: BrowserSubscription,
    message: ChannelMessage,
    status: int,
    outcome: SendOutcome,
    reason: SendReason,
) -> None:
    receiver.answer(status)
    result = await sender.send("push", browser.config, message, allows_private=True)
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_the_log_of_a_push_shows_the_text_and_no_secret(
    sender: ChannelSender, browser: BrowserSubscription, message: ChannelMessage
) -> None:
    result = await sender.send("push", browser.config, message, allows_private=True)
    assert "Deploy" in result.request
    for secret in ("secret-subscription", browser.config["auth"], browser.config["p256dh"]):
        assert secret not in result.request + result.response


async def test_a_long_message_fits_into_one_record(
    sender: ChannelSender,
    receiver: HttpReceiver,
    browser: BrowserSubscription,
    message: ChannelMessage,
) -> None:
    long = replace(message, title="你" * 5_000, body="😀" * 5_000)
    result = await sender.send("push", browser.config, long, allows_private=True)
    assert result.outcome is SendOutcome.DELIVERED
    assert len(receiver.requests[0].body) <= 4_096
    assert browser.decrypt(receiver.requests[0])["title"].startswith("你你")


@pytest.mark.parametrize("key", ["", "AAAA", "not base64 !", "BAAA" + "A" * 84])
async def test_a_subscription_with_bad_keys_is_named(
    sender: ChannelSender,
    browser: BrowserSubscription,
    message: ChannelMessage,
    key: str,
) -> None:
    config = {**browser.config, "p256dh": key}
    result = await sender.send("push", config, message, allows_private=True)
    assert (result.outcome, result.reason) == (SendOutcome.FAILED, SendReason.ADDRESS_INVALID)


def test_the_key_follows_from_the_secret_key() -> None:
    def find_key(secret: str) -> str:
        settings = Settings(secret_key=secret)
        return ChannelSender(settings, SecretCipher(settings)).push_key

    assert find_key("a" * 40) == find_key("a" * 40) != find_key("b" * 40)
