"""What the answers of services mean, and what the log shows of them."""

import hmac
from base64 import b64decode
from datetime import timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from core.clock import now
from core.config.settings import Settings
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from services.channels import ChannelMessage, ChannelSender
from services.notifications import SendOutcome, SendReason
from tests.support.http_receiver import Answer, HttpReceiver

FAILED, RETRY = SendOutcome.FAILED, SendOutcome.RETRY


@pytest.mark.parametrize(
    ("kind", "status", "body", "outcome", "reason", "seconds"),
    [
        ("slack", 400, b"invalid_payload", FAILED, SendReason.REJECTED, None),
        ("slack", 403, b"action_prohibited", FAILED, SendReason.UNAUTHORIZED, None),
        ("slack", 404, b"no_service", FAILED, SendReason.NOT_FOUND, None),
        ("slack", 410, b"channel_is_archived", FAILED, SendReason.NOT_FOUND, None),
        ("slack", 500, b"", RETRY, SendReason.SERVER_ERROR, None),
        ("discord", 404, {"message": "Unknown Webhook"}, FAILED, SendReason.NOT_FOUND, None),
        ("discord", 429, {"retry_after": 2.5}, RETRY, SendReason.RATE_LIMITED, 2.5),
        ("telegram", 401, {"ok": False}, FAILED, SendReason.UNAUTHORIZED, None),
        ("telegram", 400, {"description": "chat not found"}, FAILED, SendReason.REJECTED, None),
        ("telegram", 429, {"parameters": {"retry_after": 7}}, RETRY, SendReason.RATE_LIMITED, 7),
        ("telegram", 200, b"<html>a proxy</html>", FAILED, SendReason.REJECTED, None),
        ("teams", 413, b"", FAILED, SendReason.TOO_LARGE, None),
        ("ntfy", 507, b"", RETRY, SendReason.SERVER_ERROR, None),
        ("webhook", 302, b"", FAILED, SendReason.REDIRECTED, None),
        ("webhook", 408, b"", RETRY, SendReason.TIMEOUT, None),
    ],
)
async def test_an_answer_decides_whether_to_retry(
    sender: ChannelSender,
    receiver: HttpReceiver,
    message: ChannelMessage,
    kind: str,
    status: int,
    body: bytes | dict,
    outcome: SendOutcome,
    reason: SendReason,
    seconds: float | None,
) -> None:
    receiver.answer(status, body)
    result = await sender.send(kind, build_config(receiver), message, allows_private=True)
    assert (result.outcome, result.reason) == (outcome, reason)
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert result.retry_after == wanted


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30), ("0", 1), ("-5", 1), ("1e9", 86_400), ("soon", None)]
)
async def test_the_time_that_a_service_asks_for_is_kept(
    sender: ChannelSender,
    receiver: HttpReceiver,
    message: ChannelMessage,
    value: str,
    seconds: float | None,
) -> None:
    receiver.answer(429, Retry_After=value)
    result = await sender.send("slack", build_config(receiver), message, allows_private=True)
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert result.retry_after == wanted


async def test_a_date_is_understood_as_the_time_to_wait(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    date = format_datetime(now() + timedelta(seconds=100), usegmt=True)
    receiver.answer(503, Retry_After=date)
    result = await sender.send("slack", build_config(receiver), message, allows_private=True)
    assert result.retry_after is not None
    assert 90 < result.retry_after.total_seconds() <= 100


@pytest.mark.parametrize("kind", ["slack", "discord", "teams", "ntfy", "telegram", "webhook"])
async def test_the_log_shows_no_secret(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage, kind: str
) -> None:
    config = build_config(receiver)
    path = receiver.address + "/the-secret-path"
    echoed = " ".join([*config.values(), path]).encode()
    receiver.answers = [Answer(400, echoed)]
    result = await sender.send(kind, config, message, allows_private=True)
    logged = f"{result.request} {result.response} {result.detail} {result!r}"
    for secret in ("secret-path", "secret-token", config["secret"]):
        assert secret not in logged
    assert f"{receiver.address}/…" in result.request
    assert result.response.startswith("400\n\n")


@pytest.mark.parametrize(
    ("address", "outcome", "reason"),
    [
        ("http://169.254.169.254/latest", FAILED, SendReason.ADDRESS_FORBIDDEN),
        ("http://127.0.0.1:1/", RETRY, SendReason.UNREACHABLE),
        ("http://nowhere.invalid/", RETRY, SendReason.DNS),
        ("ftp://example.com/", FAILED, SendReason.ADDRESS_INVALID),
    ],
)
async def test_an_address_that_does_not_answer_is_named(
    sender: ChannelSender,
    message: ChannelMessage,
    address: str,
    outcome: SendOutcome,
    reason: SendReason,
) -> None:
    result = await sender.send("slack", {"url": address}, message, allows_private=True)
    assert (result.outcome, result.reason, result.response) == (outcome, reason, "")


async def test_private_addresses_are_for_the_organization_of_the_server(
    settings: Settings, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    sender = ChannelSender(settings, SecretCipher(settings))
    result = await sender.send("slack", build_config(receiver), message)
    assert (result.outcome, result.reason) == (FAILED, SendReason.ADDRESS_FORBIDDEN)
    assert not receiver.requests


async def test_a_webhook_is_signed_as_standard_webhooks_asks(
    sender: ChannelSender, receiver: HttpReceiver, message: ChannelMessage
) -> None:
    config = {"url": receiver.address, "secret": generate_signing_secret()}
    for _ in range(2):
        result = await sender.send("webhook", config, message, allows_private=True)
        assert result.outcome is SendOutcome.DELIVERED
    one, other = receiver.requests
    assert one.headers["webhook-id"] == other.headers["webhook-id"] == message.id
    content = Webhook(config["secret"]).verify(one.body, dict(one.headers))
    assert content["type"] == "notification.approval_pending"
    assert content["data"]["url"] == message.url
    with pytest.raises(WebhookVerificationError):
        Webhook(generate_signing_secret()).verify(one.body, dict(one.headers))
    assert len(b64decode(config["secret"].removeprefix("whsec_"))) == 32
    assert not hmac.compare_digest(config["secret"], generate_signing_secret())


def build_config(receiver: HttpReceiver) -> dict[str, str]:
    return {
        "url": f"{receiver.address}/the-secret-path",
        "token": "secret-token",
        "chat_id": "-100123",
        "secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    }
