"""Create, change and delete webhooks of boards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid, Unavailable
from core.security.encryption import DecryptionError, SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from core.text import N_
from core.validation import validate_fields
from models import (
    Agent,
    Board,
    BoardWebhook,
    EventType,
    User,
    build_encryption_context,
    new_id,
)
from services import events
from services.board_webhooks.queries import lock_webhook
from services.board_webhooks.rules import (
    FIELD_CHECKS,
    MAX_WEBHOOKS,
    MIN_SECRET_LENGTH,
    SECRET_OVERLAP,
    WebhookDraft,
    name_webhook,
)
from services.board_webhooks.task_fields import check_template

RECORDED_FIELDS = ("description", "enabled", "agent_id", "signature_header", "action", "template")
"""The fields whose values are in the audit. Secrets are in no event."""


@dataclass(frozen=True)
class SavedWebhook:
    """A webhook after a change, and its secret if one was generated: it is shown only once."""

    webhook: BoardWebhook
    generated_secret: str | None = None


async def create_webhook(
    session: AsyncSession, user: User, board: Board, draft: WebhookDraft, cipher: SecretCipher
) -> SavedWebhook:
    """Create a webhook on a locked board. Without a secret one is generated.

    Raises Invalid with the field, or if the board has too many.
    """
    fields = validate_fields(FIELD_CHECKS, vars(draft))
    await _check_webhook_count(session, board)
    await _check_agent(session, board, fields["agent_id"])
    given, id, at = fields.pop("secret"), new_id(), now()
    secret = given or generate_signing_secret()
    webhook = BoardWebhook(
        id=id,
        board_id=board.id,
        encrypted_secret=_encrypt(cipher, id, secret),
        created_at=at,
        updated_at=at,
        **fields,
    )
    await check_template(session, board, webhook)
    session.add(webhook)
    await session.flush()
    created = _webhook_event(EventType.BOARD_WEBHOOK_CREATED, user, board, webhook)
    await events.record_events(session, [created])
    return SavedWebhook(webhook, None if given else secret)


async def update_webhook(
    session: AsyncSession,
    user: User,
    board: Board,
    webhook_id: UUID,
    changes: Mapping[str, Any],
    cipher: SecretCipher,
) -> SavedWebhook:
    """Change the given fields of a webhook of a locked board.

    With a new secret, or an empty one for a generated one, the previous secret is accepted for
    another SECRET_OVERLAP, or until `ends_previous_secret`. Without a difference nothing is
    recorded. Raises NotFound, and Invalid with the field.
    """
    webhook = await lock_webhook(session, board, webhook_id)
    given = validate_fields(FIELD_CHECKS, changes)
    await _check_agent(session, board, given.get("agent_id"))
    new = {name: given[name] for name in RECORDED_FIELDS if name in given}
    new = {name: value for name, value in new.items() if value != getattr(webhook, name)}
    before = {name: getattr(webhook, name) for name in new}
    for name, value in new.items():
        setattr(webhook, name, value)
    await check_template(session, board, webhook)
    changed, generated = [*new], None
    if "secret" in given:
        secret = given["secret"] or generate_signing_secret()
        generated = None if given["secret"] else secret
        _replace_secret(webhook, secret, cipher)
        changed.append("secret")
    elif changes.get("ends_previous_secret") and webhook.encrypted_previous_secret is not None:
        webhook.encrypted_previous_secret = webhook.previous_secret_expires_at = None
        changed.append("previous_secret")
    if changed:
        webhook.updated_at = now()
        await session.flush()
        event = _webhook_event(
            EventType.BOARD_WEBHOOK_UPDATED, user, board, webhook, before=before, after=new
        )
        await events.record_events(session, [event])
    return SavedWebhook(webhook, generated)


async def delete_webhook(session: AsyncSession, user: User, board: Board, webhook_id: UUID) -> None:
    """Delete a webhook of a locked board, with its payloads. Raises NotFound."""
    webhook = await lock_webhook(session, board, webhook_id)
    await session.delete(webhook)
    await session.flush()
    deleted = _webhook_event(EventType.BOARD_WEBHOOK_DELETED, user, board, webhook)
    await events.record_events(session, [deleted])


def decrypt_secrets(webhook: BoardWebhook, cipher: SecretCipher, at: datetime) -> Sequence[str]:
    """Return the secrets that are valid at a time. Raises Unavailable if the key has changed."""
    stored = [webhook.encrypted_secret]
    expires_at = webhook.previous_secret_expires_at
    if webhook.encrypted_previous_secret is not None and expires_at and at < expires_at:
        stored.append(webhook.encrypted_previous_secret)
    try:
        return [cipher.decrypt(one, _secret_context(webhook.id)).decode() for one in stored]
    except DecryptionError as error:
        reason = "The secret of this webhook cannot be read: SECRET_KEY has changed. Set a new one."
        raise Unavailable(reason, cause="webhook_secret") from error


def has_short_secret(webhook: BoardWebhook, cipher: SecretCipher) -> bool:
    """Return whether the secret is from a time when it could be shorter than today."""
    try:
        secret = cipher.decrypt(webhook.encrypted_secret, _secret_context(webhook.id))
    except DecryptionError:
        return False
    return len(secret.decode()) < MIN_SECRET_LENGTH


def _replace_secret(webhook: BoardWebhook, secret: str, cipher: SecretCipher) -> None:
    webhook.encrypted_previous_secret = webhook.encrypted_secret
    webhook.previous_secret_expires_at = now() + SECRET_OVERLAP
    webhook.encrypted_secret = _encrypt(cipher, webhook.id, secret)


def _encrypt(cipher: SecretCipher, webhook_id: UUID, secret: str) -> str:
    return cipher.encrypt(secret, _secret_context(webhook_id))


def _secret_context(webhook_id: UUID) -> str:
    return build_encryption_context(BoardWebhook.encrypted_secret, id=webhook_id)


async def _check_webhook_count(session: AsyncSession, board: Board) -> None:
    count = select(func.count()).where(BoardWebhook.board_id == board.id)
    if (await session.scalar(count) or 0) >= MAX_WEBHOOKS:
        reason = N_("A board has at most %(max_count)s webhooks.")
        raise Invalid("too_many_board_webhooks", reason, max_count=MAX_WEBHOOKS)


async def _check_agent(session: AsyncSession, board: Board, agent_id: UUID | None) -> None:
    """Raise Invalid for an agent that is not on the board."""
    if agent_id is None:
        return
    query = select(Agent.id).where(Agent.id == agent_id, Agent.board_id == board.id)
    if await session.scalar(query.with_for_update(read=True, key_share=True)) is None:
        reason = N_("There is no such agent on this board.")
        raise Invalid("agent_not_on_board", reason, field="agent_id")


def _webhook_event(
    type: EventType,
    user: User,
    board: Board,
    webhook: BoardWebhook,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> events.NewEvent:
    return events.NewEvent(
        type,
        user,
        organization_id=board.organization_id,
        board=board,
        data={"webhook_id": str(webhook.id), "name": name_webhook(webhook.description)},
        before=before,
        after=after,
    )
