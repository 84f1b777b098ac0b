"""What a webhook keeps of a request, how payloads are shown, and when they are deleted."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Unavailable
from models import BoardWebhook, Note, PayloadState, WebhookPayload
from services.board_webhooks import WebhookRequest, delete_old_payloads, shorten_payload
from services.board_webhooks.commands import decrypt_secrets
from services.board_webhooks.queries import format_payload
from services.board_webhooks.requests import decode_body
from tests.support.board_rows import WEBHOOK_SECRET, make_webhook, make_webhook_payload
from tests.support.cpu_time import MAX_CPU_SECONDS, measure_cpu
from tests.support.memory_rows import make_note
from tests.support.secret_key import CIPHER
from tests.support.world import World, make_world

MAX_SIZE = 1_048_576  # bytes of a body
JSON = "application/json"


def request(**headers: str) -> WebhookRequest:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest(given, b"{}", "192.0.2.7")


@pytest.mark.parametrize(
    ("body", "content_type", "payload"),
    [
        (b"", JSON, {}),
        (b"", None, {}),
        (b'{"a": [1, 2.5, null]}', "text/plain", {"a": [1, 2.5, None]}),
        (b"\xef\xbb\xbf[1]", None, [1]),
        (b'"text"', None, "text"),
        (b" true ", None, True),
        (b"FALSE", None, "FALSE"),
        (b"null", JSON, None),
        (b"17", "application/vnd.api+json", 17),
        (b"17", "text/plain", "17"),
        (b"null", "text/plain", "null"),
        (b"{unfinished", JSON, "{unfinished"),
        (b"payload=%7B%7D", "application/x-www-form-urlencoded", "payload=%7B%7D"),
        (b"gr\xfc\xdfe", "text/plain", "gr\ufffd\ufffde"),
        (b"a\x00b", "text/plain", "a\ufffdb"),
        (b'{"a": "\x00"}', JSON, '{"a": "\ufffd"}'),
        (b'{"a": "\\u0000"}', JSON, '{"a": "\\u0000"}'),
        (b'{"\\u0000": 1}', JSON, '{"\\u0000": 1}'),
        (b'"\\ud800"', JSON, '"\\ud800"'),
        (b"[NaN]", JSON, "[NaN]"),
        (b"[1e999]", JSON, "[1e999]"),
        (b"[" * 5_000, JSON, "[" * 5_000),
        (b"1" * 5_000, JSON, "1" * 5_000),
        (b"[" + b"1e300," * 9 + b"1]", JSON, [*[1e300] * 9, 1]),
    ],
)
def test_a_body_is_json_or_its_text(body: bytes, content_type: str, payload: Any) -> None:
    """W-17. 11.1, step 7. What the database cannot store is kept as text."""
    assert decode_body(body, content_type) == payload


@pytest.mark.parametrize(
    "unit", [b"[", b'{"a":', b"[1e300,", b'"', b"\\u0000", b"\x00", b"\xff", b"1", b"0,", b"\n"]
)
@pytest.mark.parametrize("frame", [b"%s", b"[%s0]", b'["%s"]'])
def test_the_largest_hostile_body_takes_at_most_a_second(unit: bytes, frame: bytes) -> None:
    body = frame.replace(b"%s", unit * (MAX_SIZE // len(unit)))
    with measure_cpu() as measured:
        payload = decode_body(body, JSON)
        format_payload(payload, 4_000)
        shorten_payload(payload, 100)
    assert measured.seconds < MAX_CPU_SECONDS
    assert len(json.dumps(payload)) < 7 * MAX_SIZE


def test_deep_nesting_is_formatted_only_as_far_as_it_is_shown() -> None:
    """W-17. The indentation of nested values would be a hundred times as long."""
    nested: Any = [0] * 200_000
    for _ in range(150):
        nested = [nested]
    assert decode_body(json.dumps(nested).encode(), JSON) == nested
    with measure_cpu() as measured:
        text, is_cut = format_payload(nested, 4_000)
    assert measured.seconds < MAX_CPU_SECONDS
    assert (len(text), is_cut) == (4_000, True)


def test_only_listed_headers_are_kept() -> None:
    """W-17. Any other header may contain a secret."""
    secret = "secret"
    headers = {
        **dict.fromkeys(("authorization", "cookie", "x-api-key", "x-gitlab-token"), secret),
        **dict.fromkeys(("x-hub-signature-256", "webhook-signature", "x-other"), secret),
    }
    kept = {"content-type": JSON, "x-github-event": "push", "user-agent": "é\0" + "a" * 600}
    stored = WebhookRequest(headers | kept, b"", "").stored_headers
    assert stored == kept | {"user-agent": ("é\ufffd" + "a" * 600)[:500]}


def test_a_delivery_id_has_a_limited_length() -> None:
    assert request().delivery_id is None
    assert request(webhook_id="  ").delivery_id is None
    both = request(x_github_delivery="second", webhook_id=" first ")
    assert both.delivery_id == "first"
    long = request(x_github_delivery="d" * 60_000).delivery_id
    assert long is not None
    assert len(long) == 71


def test_the_previous_secret_expires() -> None:
    hook = make_webhook_row(encrypted=None)
    assert decrypt_secrets(hook, CIPHER, now()) == [WEBHOOK_SECRET]
    hook.encrypted_previous_secret = CIPHER.encrypt("old", f"board_webhooks.secret:{hook.id}")
    hook.previous_secret_expires_at = now() + timedelta(hours=24)
    assert decrypt_secrets(hook, CIPHER, now()) == [WEBHOOK_SECRET, "old"]
    assert decrypt_secrets(hook, CIPHER, now() + timedelta(hours=25)) == [WEBHOOK_SECRET]


def test_a_secret_of_another_key_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="Set a new one"):
        decrypt_secrets(make_webhook_row(encrypted="v1.AAAA"), CIPHER, now())


def make_webhook_row(encrypted: str | None) -> BoardWebhook:
    hook = make_webhook(make_world().board)
    hook.encrypted_secret = encrypted or hook.encrypted_secret
    return hook


async def test_payloads_and_their_notes_are_deleted_after_a_time(
    session: AsyncSession, world: World
) -> None:
    hook = make_webhook(world.board)
    session.add(hook)
    await session.flush()
    notes = [make_note(world.board, "Received", version=version) for version in (1, 2, 1)]
    session.add_all(notes)
    await session.flush()
    for days, note in [(31, notes[0]), (31, notes[1]), (29, notes[2]), (31, None)]:
        at = now() - timedelta(days=days)
        fields = {"received_at": at, "note_id": note.id if note else None}
        session.add(make_webhook_payload(hook, **fields))
    await session.flush()
    assert await delete_old_payloads(session, keep_days=30) == 3
    kept = await session.scalars(select(Note.id).order_by(Note.id))
    assert kept.all() == sorted(note.id for note in notes[1:])
    assert await session.scalar(select(func.count(WebhookPayload.id))) == 1


async def test_only_the_newest_payloads_of_a_webhook_are_kept(
    session: AsyncSession, world: World
) -> None:
    hooks = [make_webhook(world.board), make_webhook(world.board)]
    session.add_all(hooks)
    await session.flush()
    for minutes in range(5):
        at = now() - timedelta(minutes=minutes)
        session.add(make_webhook_payload(hooks[0], received_at=at, payload=minutes))
    session.add(make_webhook_payload(hooks[1], state=PayloadState.PROCESSED))
    waiting = make_webhook_payload(hooks[1], received_at=now() - timedelta(hours=1), is_queued=True)
    session.add_all([waiting, *(make_webhook_payload(hooks[1]) for _ in range(2))])
    await session.flush()
    assert await delete_old_payloads(session, keep_days=30, max_payloads=3) == 2
    kept = select(WebhookPayload.payload).where(WebhookPayload.webhook_id == hooks[0].id)
    assert sorted(await session.scalars(kept)) == [0, 1, 2]
    assert await session.scalar(select(func.count(WebhookPayload.id))) == 3 + 4
