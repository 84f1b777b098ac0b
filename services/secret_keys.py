"""Recognize the key of the database, and encrypt all secrets with another one.

The fingerprints of the keys that a process must have are stored. A process that encrypts with a
new key adds it; when all secrets are encrypted with that key, the others are deleted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.paths import COMMAND
from core.db.engine import TransactionFactory
from core.security.encryption import DecryptionError, SecretCipher, get_key_id
from models import (
    Board,
    BoardWebhook,
    EncryptedColumn,
    EncryptionKey,
    Gateway,
    NotificationChannel,
    Organization,
    User,
    WebhookEndpoint,
    list_encrypted_columns,
    new_id,
)

BATCH_SIZE = 100  # secrets that are read at a time
SAMPLE_SIZE = 20  # newest secrets of each column that tell whether a key is the right one
REMOVED = "removed"  # in place of a secret; it cannot be decrypted, and pages say what to do
APPLICATION_NAME = "mission-control"  # of connections, before the id of the key that encrypts

_LOCK = text("select pg_advisory_xact_lock(7265103)")
_IS_OTHER_KEY_IN_USE = text("""
    select exists (
        select from pg_stat_activity where datname = current_database()
        and starts_with(application_name, :prefix) and application_name <> :own
    )
""")


class WrongKey(Exception):
    """The key is not the one of the database. The text is one sentence for the operator."""


@dataclass(frozen=True)
class LostSecrets:
    """How many secrets were removed, by table, and the names of what needs a new one."""

    counts: Mapping[str, int]
    gateways: Sequence[str]
    outgoing_webhooks: Sequence[str]
    incoming_webhooks: Sequence[str]
    channels: Sequence[str]


def build_application_name(cipher: SecretCipher) -> str:
    """Return the name of a connection, which shows others with which key its process encrypts."""
    return f"{APPLICATION_NAME} {cipher.key.id}"


async def check_key(session: AsyncSession, cipher: SecretCipher) -> None:
    """Raise WrongKey unless the process has all keys of the database. Change nothing."""
    required = list(await session.scalars(select(EncryptionKey.fingerprint)))
    if not cipher.has_key:
        is_right = not required and not await _sample_secrets(session)
    elif required:
        is_right = set(required) <= {key.fingerprint for key in cipher.keys}
    else:
        sample = await _sample_secrets(session)
        is_right = not sample or any(_decrypt(cipher, *one) is not None for one in sample)
    if not is_right:
        raise WrongKey(_describe_wrong_key(required))


async def register_key(session: AsyncSession, cipher: SecretCipher) -> None:
    """Check the key, and store it if it is new: others must then have it too. Raises WrongKey."""
    await session.execute(_LOCK)
    await check_key(session, cipher)
    await _add_key(session, cipher)


async def is_other_key_in_use(session: AsyncSession, cipher: SecretCipher) -> bool:
    """Return whether a running server or worker encrypts with another key than this process."""
    names = {"prefix": f"{APPLICATION_NAME} ", "own": build_application_name(cipher)}
    return bool(await session.scalar(_IS_OTHER_KEY_IN_USE, names))


async def rotate_key(transaction: TransactionFactory, cipher: SecretCipher) -> Mapping[str, int]:
    """Encrypt all secrets with the current key; return by table how many were written.

    Each secret is committed, so that the next call continues after a process was killed. Secrets
    that no known key decrypts stay as they are. Raises WrongKey.
    """
    async with transaction() as session:
        await register_key(session, cipher)
    counts = await _rewrite_secrets(transaction, cipher)
    async with transaction() as session:
        await _keep_only_key(session, cipher)
    return counts


async def remove_lost_secrets(transaction: TransactionFactory, cipher: SecretCipher) -> LostSecrets:
    """Remove the secrets that no known key decrypts, and encrypt the others with the current key.

    No process with another key may run.
    """
    counts = await _rewrite_secrets(transaction, cipher, removes_lost=True)
    async with transaction() as session:
        await _keep_only_key(session, cipher)
        is_gateway_lost = or_(
            Gateway.encrypted_token == REMOVED, Gateway.encrypted_device == REMOVED
        )
        endpoint, webhook = WebhookEndpoint, BoardWebhook
        queries = (
            select(Organization.name, Gateway.name)
            .join(Gateway, Gateway.organization_id == Organization.id)
            .where(is_gateway_lost),
            select(Organization.name, endpoint.url)
            .join(endpoint, endpoint.organization_id == Organization.id)
            .where(endpoint.encrypted_secret == REMOVED),
            select(Board.name, webhook.description)
            .join(webhook, webhook.board_id == Board.id)
            .where(webhook.encrypted_secret == REMOVED),
            select(User.email, NotificationChannel.name)
            .join(NotificationChannel, NotificationChannel.user_id == User.id)
            .where(NotificationChannel.encrypted_config == REMOVED),
        )
        names = [
            [
                f"{place}: {name}"
                for place, name in await session.execute(query.order_by(text("1, 2")))
            ]
            for query in queries
        ]
    return LostSecrets(counts, *names)


async def _sample_secrets(session: AsyncSession) -> list[tuple[EncryptedColumn, Row[Any]]]:
    """Return the newest secrets of each column."""
    found = []
    for encrypted in list_encrypted_columns():
        column, newest = encrypted.column, encrypted.table.c.id.desc()
        query = select(*encrypted.needed_columns, column.label("secret"))
        query = query.where(column.is_not(None), column != REMOVED).order_by(newest)
        found += [(encrypted, row) for row in await session.execute(query.limit(SAMPLE_SIZE))]
    return found


def _decrypt(cipher: SecretCipher, encrypted: EncryptedColumn, row: Row[Any]) -> bytes | None:
    try:
        return cipher.decrypt(row.secret, encrypted.build_context(row._mapping))
    except DecryptionError:
        return None


def _describe_wrong_key(required: Sequence[str]) -> str:
    ids = " and ".join(get_key_id(fingerprint) for fingerprint in required)
    needed = f", which needs the key {ids}" if ids else ""
    return (
        f"SECRET_KEY, or the file secret-key, is not the key of this database{needed}: bring that"
        " key back, as SECRET_KEY, SECRET_KEY_PREVIOUS or the file secret-key in the data folder."
        f" If it is lost, remove what only it can decrypt with `{COMMAND} rotate-key --lost`."
    )


async def _add_key(session: AsyncSession, cipher: SecretCipher) -> None:
    added = insert(EncryptionKey).values(
        id=new_id(), fingerprint=cipher.key.fingerprint, created_at=now()
    )
    await session.execute(added.on_conflict_do_nothing())


async def _keep_only_key(session: AsyncSession, cipher: SecretCipher) -> None:
    await session.execute(_LOCK)
    await _add_key(session, cipher)
    is_other = EncryptionKey.fingerprint != cipher.key.fingerprint
    await session.execute(delete(EncryptionKey).where(is_other))


async def _rewrite_secrets(
    transaction: TransactionFactory, cipher: SecretCipher, *, removes_lost: bool = False
) -> Mapping[str, int]:
    """Encrypt all secrets with the current key; return by table how many were written or removed.

    Each secret is written in a transaction of its own, so that there is no deadlock with a running
    server, and only if it is as it was read. With `removes_lost`, only removed ones are counted.
    """
    counts: Counter[str] = Counter()
    for encrypted in list_encrypted_columns():
        last_id, has_missed = UUID(int=0), False
        while True:
            async with transaction() as session:
                rows = await _list_outdated(session, cipher, encrypted, last_id)
            for row in rows:
                last_id = row.id
                secret = _decrypt(cipher, encrypted, row)
                if secret is None and not removes_lost:
                    continue
                new = REMOVED
                if secret is not None:
                    new = cipher.encrypt(secret, encrypted.build_context(row._mapping))
                async with transaction() as session:
                    is_written = await _replace_secret(session, encrypted, row, new)
                has_missed = has_missed or not is_written
                counts[encrypted.table.name] += is_written and (secret is None or not removes_lost)
            if not rows and not has_missed:
                break
            if not rows:
                last_id, has_missed = UUID(int=0), False
    return {table: count for table, count in counts.items() if count}


async def _list_outdated(
    session: AsyncSession, cipher: SecretCipher, encrypted: EncryptedColumn, after: UUID
) -> Sequence[Row[Any]]:
    """Return the next secrets, by id, that are not encrypted with the current key."""
    table, column = encrypted.table, encrypted.column
    query = select(*encrypted.needed_columns, column.label("secret")).where(
        table.c.id > after,
        column != REMOVED,
        ~column.startswith(cipher.prefix, autoescape=True),
    )
    found = await session.execute(query.order_by(table.c.id).limit(BATCH_SIZE))
    return found.all()


async def _replace_secret(
    session: AsyncSession, encrypted: EncryptedColumn, row: Row[Any], new: str
) -> bool:
    """Write a secret if it is still what was read, and return whether it was."""
    table, column = encrypted.table, encrypted.column
    is_unchanged = (table.c.id == row.id) & (column == row.secret)
    changed = update(table).where(is_unchanged).values({column: new}).returning(table.c.id)
    return await session.scalar(changed) is not None
