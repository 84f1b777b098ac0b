"""Signatures of requests to incoming webhooks."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Forbidden
from core.security.webhook_signatures import generate_signing_secret
from services.board_webhooks.requests import verify_signature

BODY = b'{"action": "opened"}'
SECRET = "the secret"
AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


def sign(body: bytes = BODY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_standard(
    key: bytes, *, at: datetime = AT, id: str = "msg_1", body: bytes = BODY, extra: str = ""
) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"{extra}v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}


def find_error(
    headers: dict[str, str], *, secret: str = SECRET, header: str | None = None, body: bytes = BODY
) -> str | None:
    """Return the code of the error, if a request is not accepted."""
    try:
        verify_signature(headers, body, ["older", secret], signature_header=header, at=AT)
    except Forbidden as error:
        return error.code
    return None


@pytest.mark.parametrize("name", ["x-hub-signature-256", "x-webhook-signature"])
@pytest.mark.parametrize("prefix", ["sha256=", "SHA256=", "", " "])
def test_the_hexadecimal_signature_of_the_body_is_accepted(name: str, prefix: str) -> None:
    """11.1, step 6."""
    assert find_error({name: prefix + sign()}) is None
    assert find_error({name: prefix + sign().upper()}) is None
    assert find_error({name: prefix + sign(secret="older")}) is None
    assert find_error({name: prefix + sign(secret="other")}) == "webhook_signature_invalid"
    assert find_error({name: prefix + sign(b"{}")}) == "webhook_signature_invalid"


@pytest.mark.parametrize(
    "forged",
    [
        *("", "sha256=", "sha1=" + sign(), sign()[:-1], sign() + "0", sign()[:-1] + "\u0663"),
        *("sha256=" + "é" * 64, "\x00", "g" * 64, "sha256=sha256=" + sign(), "a" * 60_000),
    ],
)
def test_a_forged_signature_is_rejected(forged: str) -> None:
    """W-17. Also one with characters beyond ASCII."""
    for name in ("x-hub-signature-256", "x-webhook-signature", "x-gitlab-token"):
        assert find_error({name: forged}) == "webhook_signature_invalid"
    standard = sign_standard(SECRET.encode()) | {"webhook-signature": forged}
    assert find_error(standard) == "webhook_signature_invalid"


def test_a_configured_header_replaces_the_usual_ones() -> None:
    assert find_error({"x-signature": sign()}, header="X-Signature") is None
    usual = {"x-hub-signature-256": sign(), "x-gitlab-token": SECRET}
    assert find_error(usual, header="X-Signature") == "webhook_signature_missing"
    assert find_error({"webhook-signature": sign()}, header="Webhook-Signature") is None


def test_a_request_without_a_signature_is_rejected() -> None:
    assert find_error({}) == "webhook_signature_missing"
    assert find_error({"x-other": sign()}) == "webhook_signature_missing"


def test_gitlab_sends_the_secret_itself() -> None:
    assert find_error({"x-gitlab-token": SECRET}) is None
    assert find_error({"x-gitlab-token": f"{SECRET}."}) == "webhook_signature_invalid"
    in_latin_1 = "schlüssel".encode().decode("latin-1")
    assert find_error({"x-gitlab-token": in_latin_1}, secret="schlüssel") is None


def test_signatures_of_standard_webhooks_are_accepted() -> None:
    secret = generate_signing_secret()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert find_error(sign_standard(key), secret=secret) is None
    assert find_error(sign_standard(SECRET.encode())) is None
    several = sign_standard(key, extra="v1a,AAAA v1,BBBB ")
    assert find_error(several, secret=secret) is None
    too_many = sign_standard(key, extra="v1,BBBB " * 20)
    assert find_error(too_many, secret=secret) == "webhook_signature_invalid"
    assert find_error(sign_standard(b"other"), secret=secret) == "webhook_signature_invalid"


def test_an_empty_key_is_none() -> None:
    assert find_error(sign_standard(b""), secret="whsec_") == "webhook_signature_invalid"


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp"])
def test_the_id_and_the_time_are_signed(part: str) -> None:
    changed = sign_standard(SECRET.encode())
    changed[part] = str(int(AT.timestamp()) + 1)
    assert find_error(changed) == "webhook_signature_invalid"
    del changed[part]
    assert find_error(changed) == "webhook_signature_missing"


@pytest.mark.parametrize("timestamp", ["", "x", "-1", "1.5", "9" * 30, "\u0661\u0662", "1e9"])
def test_an_invalid_time_is_rejected(timestamp: str) -> None:
    sent = sign_standard(SECRET.encode()) | {"webhook-timestamp": timestamp}
    assert find_error(sent) == "webhook_signature_missing"


@pytest.mark.parametrize(("seconds", "is_accepted"), [(0, 1), (300, 1), (301, 0), (86_400, 0)])
def test_a_stale_or_future_request_is_a_replay(seconds: int, is_accepted: int) -> None:
    """W-17. The window is five minutes in both directions."""
    for sign_of in (-1, 1):
        sent = sign_standard(SECRET.encode(), at=AT + sign_of * timedelta(seconds=seconds))
        assert find_error(sent) == (None if is_accepted else "webhook_timestamp_invalid")


def test_a_replay_cannot_get_another_time_or_id() -> None:
    """W-17."""
    captured = sign_standard(SECRET.encode(), at=AT - timedelta(hours=1))
    forged = captured | {"webhook-timestamp": str(int(AT.timestamp()))}
    assert find_error(forged) == "webhook_signature_invalid"
    assert find_error(captured | {"webhook-id": "msg_2"}) == "webhook_timestamp_invalid"
    recent = sign_standard(SECRET.encode())
    assert find_error(recent | {"webhook-id": "msg_2"}) == "webhook_signature_invalid"
