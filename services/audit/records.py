"""Add records to the audit: bounded, without secrets, the same in every JSON library.

The audit of deleted organizations is deleted as a whole, after the configured time.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.audit_context import get_audit_context, update_audit_context
from core.clock import now, to_utc
from core.db.transactions import Write
from core.security.secrets import mask_tokens
from core.text import replace_unstorable
from models import Actor, Agent, AuditRecord, Member, User, new_id

_RECORD_AT_COMMIT = Write(
    select(func.record_at_commit(bindparam("given", type_=JSONB)).label("nothing"))
)
COLUMNS = (
    "id, organization_id, actor_kind, actor_id, actor_name, credential, credential_id, address, "
    "action, object_kind, object_id, object_name, cause, event_id, before, after"
)
_INSERT_RECORDS = Write(
    text(f"""
    insert into audit_records ({COLUMNS})
    select {COLUMNS} from jsonb_populate_recordset(null::audit_records, :audit_records)
    with ordinality order by organization_id nulls first, ordinality
""").bindparams(bindparam("audit_records", type_=JSONB))  # noqa: S608 - the columns are constants
)
_INSERT_NOW = text("set constraints record_events immediate")
_HAS_RECORDS = "has records"  # in what is known of a session


class AuditAction(StrEnum):
    """The actions that have no event; the others have the value of their event type."""

    SESSION_STARTED = "session.started"
    SESSION_RENEWED = "session.renewed"
    SESSION_ENDED = "session.ended"
    SIGN_IN_FAILED = "sign_in.failed"
    SIGN_IN_LIMITED = "sign_in.limited"
    TOKEN_CREATED = "token.created"  # noqa: S105 - the name of an action
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    TOKEN_REJECTED = "token.rejected"  # noqa: S105
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    IDENTITY_CONNECTED = "identity.connected"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_RENAMED = "account.renamed"
    ACCOUNT_DELETED = "account.deleted"
    REQUEST_REFUSED = "request.refused"
    MEMBER_ADDED = "member.added"
    ORGANIZATION_DELETED = "organization.deleted"
    FIRST_OWNER_CREATED = "installation.first_owner_created"
    FIRST_RUN_LINK_CREATED = "installation.first_run_link_created"
    BACKUP_CREATED = "installation.backup_created"
    BACKUP_RESTORED = "installation.backup_restored"
    ADDRESS_CHANGED = "installation.address_changed"
    KEY_ROTATED = "installation.key_rotated"
    SECRETS_REMOVED = "installation.secrets_removed"
    ORIGINAL_IMPORTED = "installation.original_imported"
    CHANNEL_CREATED = "channel.created"
    CHANNEL_UPDATED = "channel.updated"
    CHANNEL_DELETED = "channel.deleted"
    AUDIT_EXPORTED = "audit.exported"
    CHAIN_DELETED = "audit.chain_deleted"
    RECORDS_DROPPED = "audit.records_dropped"


@dataclass(frozen=True)
class AuditObject:
    """What an action was applied to, with its name at that time."""

    kind: str
    id: UUID | str | None = None
    name: str | None = None


@dataclass(frozen=True)
class NewAuditRecord:
    """A record to add. Without an actor it is the one of the audit context.

    `before` and `after` contain the changed values; secrets do not belong in them. Without a
    `cause` it is the current request.
    """

    action: str
    target: AuditObject
    _: KW_ONLY
    organization_id: UUID | None  # None: the installation
    actor: Actor | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    cause: str | None = None
    event_id: UUID | None = None


@dataclass(frozen=True)
class AccountChange:
    """A change of a user's account, to be recorded in each of their organizations."""

    action: AuditAction
    target: AuditObject
    _: KW_ONLY
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


def identify_actor(actor: Actor | None) -> None:
    """Set the actor of the changes in this task. None: a caller without an account."""
    if actor is None:
        update_audit_context(actor_kind="anonymous", actor_id=None, actor_name=None)
    elif isinstance(actor, Agent):
        update_audit_context(
            actor_kind="agent",
            actor_id=actor.id,
            actor_name=actor.name,
            organization_id=actor.organization_id,
        )
    else:
        update_audit_context(
            actor_kind="user",
            actor_id=actor.id,
            actor_name=actor.display_name,
            organization_id=actor.active_organization_id,
        )


def use_credential(kind: str, id: UUID | str | None = None) -> None:
    """Set the credential with which the caller was authenticated: see `AuditContext`."""
    update_audit_context(credential=kind, credential_id=None if id is None else str(id))


async def record_audit(session: AsyncSession, records: Sequence[NewAuditRecord]) -> None:
    """Add records when the transaction commits, which cannot read them itself."""
    if records:
        await record_at_commit(session, audit_records=build_insert_rows(records))


async def insert_records_now(session: AsyncSession, records: Sequence[NewAuditRecord]) -> None:
    """Add records of the operator at once, also to the database of an earlier release.

    It locks their chains, so the transaction does nothing else.
    """
    await _INSERT_RECORDS.execute(session, audit_records=build_insert_rows(records))


async def record_at_commit(
    session: AsyncSession,
    *,
    audit_records: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]] = (),
    origins: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Collect rows, which a deferred trigger of the database inserts at the commit.

    Until then no chain is locked. The trigger locks the chain of the installation first, and then
    those of the organizations by their ids, before numbers are assigned. Rows are as
    `build_insert_rows`, `build_origin_row` and `services.events` make them.
    """
    given = {"audit_records": audit_records, "events": events, "origins": origins}
    await _RECORD_AT_COMMIT.execute(session, given=given)
    session.info[_HAS_RECORDS] = True


async def insert_pending_records(session: AsyncSession) -> None:
    """Insert now what is collected until the commit.

    The commit then waits for no lock. Nothing must be recorded afterwards.
    """
    if session.info.pop(_HAS_RECORDS, False):
        await session.execute(_INSERT_NOW)


async def record_account_changes(
    session: AsyncSession, user: User | UUID, changes: Sequence[AccountChange]
) -> None:
    """Add records of changes of an account. See `list_account_records` and `record_audit`."""
    await record_audit(session, await list_account_records(session, user, changes))


async def list_account_records(
    session: AsyncSession, user: User | UUID, changes: Sequence[AccountChange]
) -> list[NewAuditRecord]:
    """Return records of changes of an account, for each organization of the user.

    Without an organization they are for the installation. A user that is given as an object is the
    actor, as during a sign-in; otherwise it is the one of the audit context.
    """
    actor, user_id = (user, user.id) if isinstance(user, User) else (None, user)
    ids = await session.scalars(select(Member.organization_id).where(Member.user_id == user_id))
    return [
        NewAuditRecord(
            change.action,
            change.target,
            organization_id=id,
            actor=actor,
            before=change.before,
            after=change.after,
        )
        for id in [*ids] or [None]
        for change in changes
    ]


def build_deletion_records(names: Mapping[UUID, str]) -> list[NewAuditRecord]:
    """Return records of deleted organizations, for their own audit and for the installation."""
    return [
        NewAuditRecord(
            AuditAction.ORGANIZATION_DELETED,
            AuditObject("organization", id, name),
            organization_id=chain,
        )
        for id, name in names.items()
        for chain in (None, id)
    ]


_ENDED_CHAINS = text("""
    with recursive chains as (
        (
            select organization_id from audit_records where organization_id is not null
            order by organization_id limit 1
        )
        union all
        select (
            select later.organization_id from audit_records as later
            where later.organization_id > chains.organization_id
            order by later.organization_id limit 1
        )
        from chains where chains.organization_id is not null
    )
    select organization_id from chains
    where organization_id is not null
    and not exists (select from organizations where id = organization_id)
    and (
        select at from audit_records as own where own.organization_id = chains.organization_id
        order by sequence desc limit 1
    ) < :before
    limit 20
""")
"""Selects chains of deleted organizations whose last record is old, with searches of an index.

The records of the deletions do not tell them: they may be dropped from the chain of the
installation.
"""


async def delete_expired_chains(session: AsyncSession, *, keep_days: int) -> int:
    """Delete the audit of organizations that were deleted `keep_days` ago; return their number.

    The database only allows whole chains of organizations that do not exist, see docs/audit.md.
    """
    records = []
    before = {"before": now() - timedelta(days=keep_days)}
    for chain in (await session.scalars(_ENDED_CHAINS, before)).all():
        newest = select(AuditRecord.hash).where(AuditRecord.organization_id == chain)
        head = await session.scalar(newest.order_by(AuditRecord.sequence.desc()).limit(1))
        count = await session.scalar(select(func.delete_audit_chain(chain, keep_days)))
        if count:
            record = NewAuditRecord(
                AuditAction.CHAIN_DELETED,
                AuditObject("organization", chain),
                organization_id=None,
                before={"records": count, "head": head},
            )
            records.append(record)
    await record_audit(session, records)
    return len(records)


def build_insert_rows(records: Sequence[NewAuditRecord]) -> list[dict[str, Any]]:
    """Return the rows of records, as JSON values."""
    return [
        {
            "id": str(new_id()),
            "organization_id": _text(record.organization_id),
            **_build_origin(record.actor, record.cause),
            "action": str(record.action),
            "object_kind": record.target.kind,
            "object_id": _text(record.target.id),
            "object_name": clean_text(record.target.name),
            "event_id": _text(record.event_id),
            "before": clean_value(record.before) or None,
            "after": clean_value(record.after) or None,
        }
        for record in records
    ]


def build_origin_row(event_id: UUID, actor: Actor | None, cause: str | None) -> dict[str, Any]:
    """Return the row of `event_origins` for an event, as JSON values."""
    return {"id": str(event_id), **_build_origin(actor, cause)}


def _build_origin(actor: Actor | None, cause: str | None) -> dict[str, Any]:
    """Return who makes a change, with which credential, from where, and why."""
    context = get_audit_context()
    request = f"request:{context.request_id}" if context.request_id else None
    if actor is None:
        kind, id, name = context.actor_kind, context.actor_id, context.actor_name
    elif isinstance(actor, Agent):
        kind, id, name = "agent", actor.id, actor.name
    else:
        kind, id, name = "user", actor.id, actor.display_name
    return {
        "actor_kind": kind,
        "actor_id": _text(id),
        "actor_name": clean_text(name),
        "credential": context.credential,
        "credential_id": context.credential_id,
        "address": clean_text(context.address),
        "cause": cause or request,
    }


def _text(value: UUID | str | None) -> str | None:
    return None if value is None else str(value)


MAX_TEXT_LENGTH = 500  # characters; a longer text is cut, and its hash is added
MAX_ITEMS = 100  # of an object or a list
MAX_DEPTH = 6  # levels of objects and lists


def clean_value(value: object, depth: int = MAX_DEPTH) -> Any:
    """Return a value as JSON without fractions, so that its text is the same everywhere.

    Numbers with a fraction become text. Tokens of ours are masked.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # larger numbers differ between JSON libraries (RFC 8259, 6)
        is_safe = value == value and abs(value) <= 2**53 and value == int(value)
        return int(value) if is_safe else str(value)
    if isinstance(value, datetime):
        return to_utc(value).isoformat()
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _clean_collection(value, depth)
    return clean_text(str(value))


def clean_text(text: str | None) -> str | None:
    """Mask tokens, replace what cannot be stored, and cut a long text."""
    if text is None:
        return None
    text = mask_tokens(replace_unstorable(text))
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:MAX_TEXT_LENGTH]}… ({len(text)} characters, SHA-256 {digest})"


def _clean_collection(value: Any, depth: int) -> Any:
    if not depth:
        return "…"
    if not isinstance(value, Mapping):
        listed = sorted(map(str, value)) if isinstance(value, set | frozenset) else [*value]
        items = [clean_value(item, depth - 1) for item in listed[:MAX_ITEMS]]
        return [*items, f"… ({len(listed)} items)"] if len(listed) > MAX_ITEMS else items
    pairs = [*value.items()][:MAX_ITEMS]
    cleaned = {clean_text(str(name)): clean_value(item, depth - 1) for name, item in pairs}
    return {**cleaned, "…": f"{len(value)} items"} if len(value) > MAX_ITEMS else cleaned
