"""Create, change and delete webhooks of boards."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, Invalid, Unavailable
from core.fields import NOT_SENT, FieldKind, Fields, Label, Patch
from core.security.encryption import DecryptionError, SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from core.text import N_
from models import (
    Agent,
    Board,
    BoardWebhook,
    EventType,
    User,
    WebhookAction,
    build_encryption_context,
)
from services import boards, events, rows
from services.board_webhooks.actions import build_event, check_action
from services.board_webhooks.queries import MAX_WEBHOOKS, lock_webhook
from services.boards import BoardPermissions
from services.payload_templates import MAX_TEMPLATE_LENGTH, Operator, PayloadTemplate

MIN_SECRET_LENGTH = 16  # characters; older secrets may be shorter
SECRET_OVERLAP = timedelta(hours=24)  # for which a replaced secret is still accepted

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 7230
NOT_FOR_SIGNATURES = frozenset(
    {
        *("authorization", "cookie", "host", "content-type", "content-length", "user-agent"),
        *("transfer-encoding", "webhook-id", "webhook-timestamp"),
    }
)

RECORDED_FIELDS = ("description", "enabled", "agent_id", "signature_header", "action", "template")
"""The fields whose values are in the audit. Secrets are in no event."""


def _check_secret(secret: str | None) -> str | None:
    """Check the length of a secret; a blank one stands for a generated one."""
    if secret and len(secret) < MIN_SECRET_LENGTH:
        reason = N_(
            "A secret has at least %(min_length)s characters. Leave the field empty to create one."
        )
        raise Invalid(
            "webhook_secret_too_short", reason, field="secret", min_length=MIN_SECRET_LENGTH
        )
    return secret or None


def _check_signature_header(name: str | None) -> str | None:
    """Check the name of the header with the signature; blank means the usual ones."""
    if name and not (HEADER_NAME.fullmatch(name) and name.lower() not in NOT_FOR_SIGNATURES):
        reason = N_("This cannot be the name of a header with a signature, such as X-Signature.")
        raise Invalid("header_name_invalid", reason, field="signature_header")
    return name or None


def _check_template(template: dict[str, str] | None) -> dict[str, Any] | None:
    if template is None:
        return None
    if unknown := ", ".join(sorted(template.keys() - PayloadTemplate.model_fields.keys())):
        reason = f"A template has no such fields: {unknown[:300]}"
        raise Invalid("template_field_unknown", reason, field="template")
    return dict(PayloadTemplate.parse(template))


WebhookSecret = Annotated[
    Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=200),
        Field(json_schema_extra={"minLength": MIN_SECRET_LENGTH}),
    ]
    | None,
    AfterValidator(_check_secret),
    Field(
        description=f"The key of the signatures, of at least {MIN_SECRET_LENGTH} characters."
        " Null or blank: a new one is generated."
    ),
]


class BoardWebhookCreate(Fields):
    """A new webhook."""

    example = {"description": "Create a task for each failed build."}

    description: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=5_000),
        Label(N_("Instruction"), FieldKind.TEXT),
        Field(description="What agents are to do with the payloads. `notify` needs it."),
    ] = ""
    enabled: Annotated[bool, Label(N_("Enabled"))] = True
    agent_id: Annotated[
        UUID | None,
        Label(N_("Agent")),
        Field(description="The agent that is told of payloads. Null: the lead."),
    ] = None
    secret: WebhookSecret = None
    signature_header: Annotated[
        Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] | None,
        AfterValidator(_check_signature_header),
        Label(N_("Header of the signature")),
        Field(
            description="The header with the hexadecimal HMAC-SHA256 of the body. Null: "
            "X-Hub-Signature-256 or X-Webhook-Signature."
        ),
    ] = None
    action: Annotated[
        WebhookAction,
        Field(
            description="What happens with a payload: `notify` tells the agent, `message` tells it"
            " with the text of the template, `task` creates a task by the template, `forge` creates"
            " and links tasks by what GitHub or GitLab reports."
        ),
    ] = WebhookAction.NOTIFY
    template: Annotated[
        dict[str, Annotated[str, StringConstraints(max_length=MAX_TEMPLATE_LENGTH)]] | None,
        AfterValidator(_check_template),
        Field(
            description="What the actions `message` and `task` make of a payload: texts with"
            " placeholders such as `{{ issue.title }}`, by the names `title`, `description`,"
            " `priority`, `tags`, `due` and `message`. `custom_fields` has a line for"
            " each field: its key, a colon and a text. With `condition_path`, `condition_operator`"
            f" ({', '.join(Operator)}) and `condition_value`, other payloads are ignored.",
            examples=[{"title": "{{ issue.title }}", "condition_path": "issue"}],
        ),
    ] = None


class BoardWebhookUpdate(BoardWebhookCreate, Patch):
    """Changes of a webhook. A replaced secret is accepted for another 24 hours."""

    may_be_empty = True
    example = {"enabled": False}

    ends_previous_secret: Annotated[
        bool, Field(description="`true`: a replaced secret is not accepted any longer.")
    ] = NOT_SENT
    allows_unsigned: Annotated[
        bool,
        Field(
            description="`true`: payloads without a signature are accepted, so everybody who knows"
            " the address can send. Only admins change this, and while it is true, all that the"
            " payloads do: others can only disable the webhook, replace its secret or delete it."
        ),
    ] = NOT_SENT


@dataclass(frozen=True)
class SavedWebhook:
    """A webhook after a change, and its secret if one was generated: it is shown only once."""

    webhook: BoardWebhook
    generated_secret: str | None = None


async def create_webhook(
    session: AsyncSession,
    user: User,
    board: Board,
    fields: BoardWebhookCreate,
    cipher: SecretCipher,
) -> SavedWebhook:
    """Create a webhook on a locked board. Without a secret one is generated.

    Raises Invalid with the field, or if the board has too many.
    """
    count = select(func.count()).where(BoardWebhook.board_id == board.id)
    if (await session.scalar(count) or 0) >= MAX_WEBHOOKS:
        reason = N_("A board has at most %(max_count)s webhooks.")
        raise Invalid("too_many_board_webhooks", reason, max_count=MAX_WEBHOOKS)
    await _check_agent(session, board, fields.agent_id)
    values = dict(fields)
    given = values.pop("secret")
    secret = given or generate_signing_secret()
    webhook = rows.build_row(BoardWebhook, board_id=board.id, **values)
    webhook.encrypted_secret = _encrypt(cipher, webhook.id, secret)
    await check_action(session, board, webhook)
    session.add(webhook)
    await session.flush()
    created = build_event(EventType.BOARD_WEBHOOK_CREATED, user, board, webhook)
    await events.record_events(session, [created])
    return SavedWebhook(webhook, None if given else secret)


def may_change_webhook(permissions: BoardPermissions, webhook: BoardWebhook) -> bool:
    """Return whether a user who may change its board may change what a webhook does.

    An admin has accepted unsigned payloads for what they did then, so only an admin changes that.
    Others can always disable the webhook, replace its secret and delete it.
    """
    return permissions.is_admin or not webhook.allows_unsigned


async def update_webhook(
    session: AsyncSession,
    user: User,
    board: Board,
    webhook_id: UUID,
    fields: BoardWebhookUpdate,
    cipher: SecretCipher,
) -> SavedWebhook:
    """Change the given fields of a webhook of a locked board.

    With a new secret, or an empty one for a generated one, the previous secret is accepted for
    another SECRET_OVERLAP, or until `ends_previous_secret`. Without a difference nothing is
    recorded. Raises NotFound, Invalid with the field, and Forbidden if only admins may change a
    field.
    """
    webhook = await lock_webhook(session, board, webhook_id)
    given = fields.changes()
    await _check_agent(session, board, given.get("agent_id"))
    new = {
        name: given[name]
        for name in RECORDED_FIELDS
        if name in given and given[name] != getattr(webhook, name)
    }
    if new and new != {"enabled": False}:
        permissions = await boards.get_board_permissions(session, user, board.id)
        if not may_change_webhook(permissions, webhook):
            reason = N_(
                "Only an admin can change a webhook that accepts unsigned payloads. Others can turn"
                " it off, replace its secret or delete it."
            )
            raise Forbidden("admin_required", reason)
    before = {name: getattr(webhook, name) for name in new}
    for name, value in new.items():
        setattr(webhook, name, value)
    await check_action(session, board, webhook)
    is_secret_changed, generated = _change_secret(webhook, given, cipher)
    new_events = []
    if new or is_secret_changed:
        type = EventType.BOARD_WEBHOOK_UPDATED
        new_events.append(build_event(type, user, board, webhook, before=before, after=new))
    allows_unsigned = given.get("allows_unsigned", webhook.allows_unsigned)
    if allows_unsigned != webhook.allows_unsigned:
        new_events.append(
            await _set_allows_unsigned(session, user, board, webhook, is_allowed=allows_unsigned)
        )
    if new_events:
        webhook.updated_at = now()
        await session.flush()
        await events.record_events(session, new_events)
    return SavedWebhook(webhook, generated)


def _change_secret(
    webhook: BoardWebhook, given: Mapping[str, Any], cipher: SecretCipher
) -> tuple[bool, str | None]:
    """Replace the secret, or end the previous one; return whether so, and a generated secret."""
    if "secret" in given:
        secret = given["secret"] or generate_signing_secret()
        webhook.encrypted_previous_secret = webhook.encrypted_secret
        webhook.previous_secret_expires_at = now() + SECRET_OVERLAP
        webhook.encrypted_secret = _encrypt(cipher, webhook.id, secret)
        return True, None if given["secret"] else secret
    if given.get("ends_previous_secret") and webhook.encrypted_previous_secret is not None:
        webhook.encrypted_previous_secret = webhook.previous_secret_expires_at = None
        return True, None
    return False, None


async def _set_allows_unsigned(
    session: AsyncSession, user: User, board: Board, webhook: BoardWebhook, *, is_allowed: bool
) -> events.NewEvent:
    """Allow unsigned payloads, or end that; return the event. Raises Forbidden."""
    permissions = await boards.get_board_permissions(session, user, board.id)
    if not permissions.is_admin:
        reason = N_("Only an admin of the organization can allow unsigned payloads, or end that.")
        raise Forbidden("admin_required", reason)
    webhook.allows_unsigned = is_allowed
    type = (
        EventType.BOARD_WEBHOOK_UNSIGNED_ALLOWED
        if is_allowed
        else EventType.BOARD_WEBHOOK_UNSIGNED_ENDED
    )
    return build_event(type, user, board, webhook)


async def delete_webhook(session: AsyncSession, user: User, board: Board, webhook_id: UUID) -> None:
    """Delete a webhook of a locked board, with its payloads. Raises NotFound."""
    webhook = await lock_webhook(session, board, webhook_id)
    await session.delete(webhook)
    await session.flush()
    deleted = build_event(EventType.BOARD_WEBHOOK_DELETED, user, board, webhook)
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
        reason = N_(
            "The secret of this webhook cannot be read: SECRET_KEY has changed. Set a new one."
        )
        raise Unavailable(reason) from error


def has_short_secret(webhook: BoardWebhook, cipher: SecretCipher) -> bool:
    """Return whether the secret is from a time when it could be shorter than today."""
    try:
        secret = cipher.decrypt(webhook.encrypted_secret, _secret_context(webhook.id))
    except DecryptionError:
        return False
    return len(secret.decode()) < MIN_SECRET_LENGTH


def _encrypt(cipher: SecretCipher, webhook_id: UUID, secret: str) -> str:
    return cipher.encrypt(secret, _secret_context(webhook_id))


def _secret_context(webhook_id: UUID) -> str:
    return build_encryption_context(BoardWebhook.encrypted_secret, id=webhook_id)


async def _check_agent(session: AsyncSession, board: Board, agent_id: UUID | None) -> None:
    """Raise Invalid for an agent that is not on the board."""
    if agent_id is None:
        return
    query = select(Agent.id).where(Agent.id == agent_id, Agent.board_id == board.id)
    if await session.scalar(query.with_for_update(read=True, key_share=True)) is None:
        reason = N_("There is no such agent on this board.")
        raise Invalid("agent_not_on_board", reason, field="agent_id", sent_as="text")
