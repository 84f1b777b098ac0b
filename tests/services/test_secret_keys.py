"""The key of the database: its fingerprint, its replacement, and its loss."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.encryption import KEY_FILE, DecryptionError, SecretCipher
from models import (
    Base,
    BoardWebhook,
    ChannelKind,
    EncryptedColumn,
    EncryptionKey,
    GatewayCleanup,
    IdempotencyKey,
    KeptForm,
    NotificationChannel,
    list_encrypted_columns,
)
from services import secret_keys
from tests.support.gateway_rows import make_gateway
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.secret_key import CIPHER, SECRET_KEY
from tests.support.webhook_rows import make_endpoint
from tests.support.world import World

NEW_KEY = "the next key of the tests, which is also long enough"
NEW = SecretCipher(Settings(secret_key=NEW_KEY))
BOTH = SecretCipher(Settings(secret_key=NEW_KEY, secret_key_previous=SECRET_KEY))
PLAIN = "what is kept secret"
ENCRYPTED_COLUMNS = list_encrypted_columns()


async def store_secrets(session: AsyncSession, world: World) -> None:
    """Store a row of each kind with a secret, each encrypted with the first key of the tests."""
    rows: list[Base] = [
        make_gateway(world.tern),
        GatewayCleanup(
            url="ws://127.0.0.1:9",
            encrypted_device="",
            agent_keys=[],
            next_try_at=now(),
            created_at=now(),
        ),
        make_endpoint(world.tern),
        BoardWebhook(
            board_id=world.board.id,
            description="Deployments",
            encrypted_secret="",
            created_at=now(),
            updated_at=now(),
        ),
        NotificationChannel(
            user_id=world.bob.id,
            organization_id=world.tern.id,
            kind=ChannelKind.NTFY,
            name="Phone",
            encrypted_config="",
            created_at=now(),
            updated_at=now(),
        ),
        IdempotencyKey(
            caller_id=world.bob.id, key="with {braces}", fingerprint="0", created_at=now()
        ),
        KeptForm(user_id=world.bob.id, encrypted_content="", created_at=now()),
    ]
    session.add_all(rows)
    await session.flush()
    for encrypted in ENCRYPTED_COLUMNS:
        found = (await session.execute(select(*encrypted.needed_columns))).all()
        for row in found:
            secret = CIPHER.encrypt(PLAIN, encrypted.build_context(row._mapping))
            changed = update(encrypted.table).where(encrypted.table.c.id == row.id)
            await session.execute(changed.values({encrypted.column: secret}))


@pytest.fixture
async def stored(isolated_transaction: TransactionFactory, isolated_world: World) -> World:
    """Secrets of all kinds in the test's own database, whose key is stored."""
    async with isolated_transaction() as session:
        await store_secrets(session, isolated_world)
        await secret_keys.register_key(session, CIPHER)
    return isolated_world


async def count_readable(transaction: TransactionFactory, cipher: SecretCipher) -> dict[str, int]:
    """Return by column how many secrets a cipher decrypts."""
    counts = {}
    async with transaction() as session:
        for encrypted in ENCRYPTED_COLUMNS:
            query = select(*encrypted.needed_columns, encrypted.column.label("secret"))
            rows = (await session.execute(query.where(encrypted.column.is_not(None)))).all()
            name = f"{encrypted.table.name}.{encrypted.column.name}"
            counts[name] = sum(is_readable(cipher, encrypted, row) for row in rows)
    return counts


def is_readable(cipher: SecretCipher, encrypted: EncryptedColumn, row: Any) -> bool:
    try:
        return cipher.decrypt(row.secret, encrypted.build_context(row._mapping)) == PLAIN.encode()
    except DecryptionError:
        return False


async def list_fingerprints(transaction: TransactionFactory) -> set[str]:
    async with transaction() as session:
        return set(await session.scalars(select(EncryptionKey.fingerprint)))


def test_every_attribute_of_an_encrypted_column_says_so() -> None:
    """`rotate_key` finds the columns by their context, and readers by the name."""
    named = {
        str(column)
        for mapper in Base.registry.mappers
        for attribute in mapper.column_attrs
        for column in attribute.columns
        if attribute.key.startswith("encrypted_")
    }
    assert named == {str(one.column) for one in ENCRYPTED_COLUMNS}


async def test_another_key_is_refused_and_the_ways_out_are_named(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    async with isolated_transaction() as session:
        with pytest.raises(secret_keys.WrongKey) as error:
            await secret_keys.register_key(session, NEW)
    assert CIPHER.key.id in str(error.value)
    assert "SECRET_KEY_PREVIOUS" in str(error.value)
    assert "./run rotate-key --lost" in str(error.value)
    assert await list_fingerprints(isolated_transaction) == {CIPHER.key.fingerprint}


async def test_the_first_start_checks_the_key_with_the_stored_secrets(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await store_secrets(session, isolated_world)
    async with isolated_transaction() as session:
        with pytest.raises(secret_keys.WrongKey):
            await secret_keys.register_key(session, NEW)
    assert await list_fingerprints(isolated_transaction) == set()
    async with isolated_transaction() as session:
        await secret_keys.register_key(session, CIPHER)
    assert await list_fingerprints(isolated_transaction) == {CIPHER.key.fingerprint}


async def test_a_database_without_secrets_takes_any_key(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        await secret_keys.register_key(session, NEW)
    assert await list_fingerprints(isolated_transaction) == {NEW.key.fingerprint}


async def test_a_missing_key_file_is_not_created_for_a_database_with_a_key(
    isolated_transaction: TransactionFactory, stored: World, tmp_path: Any
) -> None:
    cipher = SecretCipher(Settings(data_dir=tmp_path / "data"))
    async with isolated_transaction() as session:
        with pytest.raises(secret_keys.WrongKey):
            await secret_keys.register_key(session, cipher)
    assert not (tmp_path / "data").exists()


async def test_a_cut_key_file_is_recognized_and_not_changed(
    isolated_transaction: TransactionFactory, stored: World, tmp_path: Any
) -> None:
    file = tmp_path / KEY_FILE
    file.write_text(SECRET_KEY[:7])
    cipher = SecretCipher(Settings(data_dir=tmp_path))
    async with isolated_transaction() as session:
        with pytest.raises(secret_keys.WrongKey, match=CIPHER.key.id):
            await secret_keys.register_key(session, cipher)
    assert file.read_text() == SECRET_KEY[:7]


async def test_while_a_key_is_replaced_every_process_needs_both(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    async with isolated_transaction() as session:
        await secret_keys.register_key(session, BOTH)
    for cipher in (CIPHER, NEW):
        async with isolated_transaction() as session:
            with pytest.raises(secret_keys.WrongKey):
                await secret_keys.register_key(session, cipher)


async def test_all_secrets_are_encrypted_with_the_new_key(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    before = await count_readable(isolated_transaction, CIPHER)
    assert min(before.values()) >= 1
    counts = await secret_keys.rotate_key(isolated_transaction, BOTH)
    assert sum(counts.values()) == sum(before.values())
    assert await count_readable(isolated_transaction, NEW) == before
    assert set((await count_readable(isolated_transaction, CIPHER)).values()) == {0}
    assert await list_fingerprints(isolated_transaction) == {NEW.key.fingerprint}
    assert await secret_keys.rotate_key(isolated_transaction, BOTH) == {}


OLD_SECRETS = """
    select count(*) from {table}
    where {column} ~ '^v[12][.]' and not starts_with({column}, '{prefix}')
"""
TEXT_COLUMNS = """
    select quote_ident(table_name), quote_ident(column_name) from information_schema.columns
    where table_schema = current_schema and data_type in ('text', 'character varying')
"""


async def test_no_column_of_the_database_keeps_the_old_key(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    """Also none that is not declared as encrypted."""
    await secret_keys.rotate_key(isolated_transaction, BOTH)
    async with isolated_transaction() as session:
        for table, column in (await session.execute(text(TEXT_COLUMNS))).all():
            query = OLD_SECRETS.format(table=table, column=column, prefix=NEW.prefix)
            assert await session.scalar(text(query)) == 0, (table, column)


async def test_secrets_without_the_id_of_a_key_are_rotated(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    """The first version of the format had no id."""
    async with isolated_transaction() as session:
        for encrypted in ENCRYPTED_COLUMNS:
            for id, secret in (
                await session.execute(select(encrypted.table.c.id, encrypted.column))
            ).all():
                changed = update(encrypted.table).where(encrypted.table.c.id == id)
                value = "v1." + secret.removeprefix(CIPHER.prefix)
                await session.execute(changed.values({encrypted.column: value}))
    before = await count_readable(isolated_transaction, CIPHER)
    assert min(before.values()) >= 1
    await secret_keys.rotate_key(isolated_transaction, BOTH)
    assert await count_readable(isolated_transaction, NEW) == before


async def test_a_rotation_that_was_interrupted_continues(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    before = await count_readable(isolated_transaction, CIPHER)
    remaining = 7

    class Killed(Exception):
        pass

    def interrupted() -> Any:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise Killed
        return isolated_transaction()

    with pytest.raises(Killed):
        await secret_keys.rotate_key(interrupted, BOTH)
    rotated = sum((await count_readable(isolated_transaction, NEW)).values())
    assert 0 < rotated < sum(before.values())
    assert await count_readable(isolated_transaction, BOTH) == before
    await secret_keys.rotate_key(isolated_transaction, BOTH)
    assert await count_readable(isolated_transaction, NEW) == before


async def test_a_secret_that_changes_during_the_rotation_is_kept(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    """A server that still encrypts with the old key writes after the row was read."""
    encrypted = next(one for one in ENCRYPTED_COLUMNS if one.table.name == "board_webhooks")
    async with isolated_transaction() as session:
        [row] = (await session.execute(select(*encrypted.needed_columns))).all()
        context = encrypted.build_context(row._mapping)
        changed = update(BoardWebhook).values(encrypted_secret=CIPHER.encrypt("changed", context))
    async with isolated_transaction() as server:
        await server.execute(changed)
        rotation = asyncio.create_task(secret_keys.rotate_key(isolated_transaction, BOTH))
        await wait_for_lock_waiter(isolated_transaction, unless=rotation)
    await rotation
    async with isolated_transaction() as session:
        [webhook] = (await session.scalars(select(BoardWebhook))).all()
    assert NEW.decrypt(webhook.encrypted_secret, context) == b"changed"


async def test_secrets_of_a_lost_key_are_removed_and_named(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    before = await count_readable(isolated_transaction, CIPHER)
    lost = await secret_keys.remove_lost_secrets(isolated_transaction, NEW)
    assert sum(lost.counts.values()) == sum(before.values())
    assert lost.gateways == ["Tern: Harbour"]
    assert lost.outgoing_webhooks == ["Tern: https://receiver.example/hook"]
    assert lost.incoming_webhooks == ["Launch: Deployments"]
    assert lost.channels == [f"{stored.bob.email}: Phone"]
    assert await list_fingerprints(isolated_transaction) == {NEW.key.fingerprint}
    async with isolated_transaction() as session:
        await secret_keys.register_key(session, NEW)


async def test_a_lost_key_removes_nothing_that_can_be_decrypted(
    isolated_transaction: TransactionFactory, stored: World
) -> None:
    before = await count_readable(isolated_transaction, CIPHER)
    lost = await secret_keys.remove_lost_secrets(isolated_transaction, CIPHER)
    assert (lost.counts, lost.gateways) == ({}, [])
    assert await count_readable(isolated_transaction, CIPHER) == before
