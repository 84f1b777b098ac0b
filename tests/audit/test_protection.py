"""The protection of the audit in the database: roles, concurrency, and deleted organizations."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cli import doctor
from cli.command import CommandError
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import AuditRecord, EventType
from services import audit, events, organizations
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.events import NewEvent
from tests.conftest import ROOT
from tests.support.audit_records import list_records
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

ROLE = f"audit_test_{os.getpid()}"
PAGE = ROOT / "docs/audit.md"
DISABLE, ENABLE = "alter table audit_records disable trigger", "alter table audit_records enable"


async def export_lines(transaction: TransactionFactory, chain: UUID | None) -> list[bytes]:
    async with transaction() as session:
        header = await audit.prepare_export(session, chain, 0)
    parts = [part async for part in audit.stream_export(transaction, chain, header)]
    return b"".join(parts).splitlines(keepends=True)


def tag_event(world: World, name: str) -> NewEvent:
    data = {"name": name}
    type = EventType.TAG_CREATED
    return NewEvent(type, world.alice, organization_id=world.tern.id, data=data)


@pytest.fixture
async def owner(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[Any]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(isolated_settings.dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def role(isolated_settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Any]:
    """A connection with the rights that docs/audit.md gives to the application."""
    [block] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    await owner.execute(block.replace("mission_control_app", ROLE))
    connection = await asyncpg.connect(isolated_settings.dsn)
    await connection.execute(f"set role {ROLE}")
    yield connection
    await connection.close()
    await owner.execute(f"drop owned by {ROLE}; drop role {ROLE}")


async def test_the_application_role_adds_and_reads_records(
    role: asyncpg.Connection, isolated_world: World
) -> None:
    insert = (
        "insert into audit_records (id, organization_id, actor_kind, action, object_kind, sequence,"
        " hash) values (gen_random_uuid(), $1, 'user', 'tag.created', 'tag', 99, 'chosen')"
        " returning sequence, hash"
    )
    row = await role.fetchrow(insert, isolated_world.tern.id)
    assert row["sequence"] == 1  # the trigger decides
    assert row["hash"] != "chosen"
    assert await role.fetchval("select count(*) from audit_records") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_records set action = 'x'",
        "delete from audit_records",
        "truncate audit_records",
        "insert into audit_anchors values (gen_random_uuid(), null, 1, 'x', 1, now())",
        "delete from audit_anchors",
        "select drop_audit_records(null, 1, 'x')",
        f"{DISABLE} all",
        "drop trigger protect on audit_records",
        "drop table audit_records",
        "set session_replication_role = replica",
        "create or replace function protect_audit_records() returns trigger language plpgsql"
        " as $$ begin return old; end $$",
    ],
)
async def test_the_application_role_cannot_change_the_audit(
    role: asyncpg.Connection, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role.execute(statement)


@pytest.fixture
async def old_record(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AuditRecord:
    """A record of an existing organization that is old enough to be deleted."""
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, "of Tern")])
    await backdate(isolated_transaction, 1000)
    [record] = await list_records(isolated_transaction, action="tag.created")
    return record


async def test_a_temporary_table_does_not_replace_the_organizations(
    role: asyncpg.Connection, owner: asyncpg.Connection, old_record: AuditRecord
) -> None:
    await role.execute("create temp table organizations (id uuid)")
    await role.execute(f"grant all on organizations to {await owner.fetchval('select user')}")
    chain = old_record.organization_id
    assert await role.fetchval("select delete_audit_chain($1, 30)", chain) == 0
    assert await role.fetchval("select count(*) from public.audit_records") == 1


async def test_a_temporary_table_does_not_replace_the_last_record(
    role: asyncpg.Connection, old_record: AuditRecord
) -> None:
    await role.execute("create temp table audit_records (like public.audit_records)")
    inserted = await role.fetchrow(
        "insert into public.audit_records (id, organization_id, actor_kind, action, object_kind)"
        " values (gen_random_uuid(), $1, 'user', 'tag.created', 'tag')"
        " returning sequence, previous_hash",
        old_record.organization_id,
    )
    assert tuple(inserted) == (2, old_record.hash)


async def test_other_roles_cannot_delete_a_chain(
    role: asyncpg.Connection, owner: asyncpg.Connection, old_record: AuditRecord
) -> None:
    await owner.execute(f"revoke execute on function delete_audit_chain from {ROLE}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await role.execute("select delete_audit_chain(gen_random_uuid(), 30)")


async def test_a_setting_does_not_allow_another_role_to_delete_records(
    role: asyncpg.Connection, owner: asyncpg.Connection, old_record: AuditRecord
) -> None:
    await owner.execute(f"grant delete on audit_records to {ROLE}")
    chain = str(old_record.organization_id)
    await role.execute("select set_config('mission_control.deleted_chain', $1, false)", chain)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed or deleted"):
        await role.execute("delete from audit_records")


async def test_a_role_with_default_rights_cannot_change_the_audit_after_migrating(
    isolated_settings: Settings,
) -> None:
    engine = create_async_engine(isolated_settings.sqlalchemy_url)
    config = Config(toml_file=ROOT / "pyproject.toml")

    def migrate_empty_database(connection: Any) -> None:
        config.attributes["connection"] = connection
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
        connection.execute(text(f"create role {ROLE}"))
        grant = f"alter default privileges grant all on tables to {ROLE}"
        connection.execute(text(grant))
        connection.execute(text(grant.replace("tables", "functions")))
        connection.commit()  # alembic begins a transaction for each migration
        command.upgrade(config, "head")

    rights = f"select has_table_privilege('{ROLE}', 'audit_records', '{{}}')"
    async with engine.connect() as connection:
        await connection.run_sync(migrate_empty_database)
        found = {
            right: await connection.scalar(text(rights.format(right)))
            for right in ("select", "insert", "update", "delete", "truncate", "trigger")
        }
        function = "'delete_audit_chain(uuid, integer)'"
        may_delete = await connection.scalar(
            text(f"select has_function_privilege('{ROLE}', {function}, 'execute')")
        )
        await connection.execute(text(f"drop owned by {ROLE}"))
        await connection.execute(text(f"drop role {ROLE}"))
        await connection.commit()
    await engine.dispose()
    allowed = {right for right, is_granted in found.items() if is_granted}
    assert allowed == {"select", "insert"}
    assert may_delete is False


async def test_concurrent_changes_form_one_unbroken_chain(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    writers, changes = 20, 25 if IS_COMPLETE_RUN else 5

    async def change(writer: int) -> None:
        for n in range(2 * changes):
            async with isolated_transaction() as session:
                name = f"{writer}-{n}"
                if n % 2:
                    await events.record_events(session, [tag_event(isolated_world, name)] * 2)
                else:
                    chains = (isolated_world.plover.id, None, isolated_world.tern.id)
                    target = AuditObject("token", None, name)
                    records = [
                        NewAuditRecord(AuditAction.TOKEN_CREATED, target, organization_id=chain)
                        for chain in chains
                    ]
                    await audit.record_audit(session, records)

    await asyncio.gather(*(change(writer) for writer in range(writers)))
    made = writers * changes
    for chain, count in ((isolated_world.tern.id, 3 * made), (isolated_world.plover.id, made)):
        result = audit.verify_export(await export_lines(isolated_transaction, chain))
        assert (result.problem, result.count) == (None, count + 1)  # and that of the export
    result = audit.verify_export(await export_lines(isolated_transaction, None))
    assert (result.problem, result.count) == (None, made + 1)


async def test_a_change_that_is_rolled_back_leaves_no_record_and_no_gap(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, "kept")])

    async def fail() -> None:
        async with isolated_transaction() as session:
            await events.record_events(session, [tag_event(isolated_world, "lost")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, "later")])
    records = await list_records(isolated_transaction, action="tag.created")
    assert [(one.sequence, one.object_name) for one in records] == [(1, "kept"), (2, "later")]


async def test_a_record_changed_behind_the_triggers_is_found(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, str(n)) for n in range(4)])
    async with isolated_transaction() as session:
        await session.execute(text(f"{DISABLE} all"))
        await session.execute(text("update audit_records set actor_name = 'x' where sequence = 3"))
        await session.execute(text(f"{ENABLE} trigger all"))
    problem = audit.verify_export(
        await export_lines(isolated_transaction, isolated_world.tern.id)
    ).problem
    assert problem is not None
    assert "record 3, which was edited" in problem


async def backdate(transaction: TransactionFactory, days: int) -> None:
    async with transaction() as session:
        await session.execute(text(f"{DISABLE} all"))
        older = f"update audit_records set at = at - interval '{days} days'"
        await session.execute(text(older))
        await session.execute(text(f"{ENABLE} trigger all"))


async def test_the_chain_of_a_deleted_organization_is_kept_for_the_set_time(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    plover = isolated_world.plover.id
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, "of Tern")])
        member = isolated_world.charlie_member
        await organizations.rename_organization(
            session, member, organizations.OrganizationCreate(name="Golden plover")
        )
    async with isolated_transaction() as session:
        await organizations.delete_organization(session, member, signed_in_at=now())
    await backdate(isolated_transaction, 59)
    async with isolated_transaction() as session:
        assert await audit.delete_expired_chains(session, keep_days=60) == 0
    assert len(await list_records(isolated_transaction, organization_id=plover)) == 2
    await backdate(isolated_transaction, 2)
    async with isolated_transaction() as session:
        assert await audit.delete_expired_chains(session, keep_days=60) == 1
        assert await audit.delete_expired_chains(session, keep_days=60) == 0
    assert await list_records(isolated_transaction, organization_id=plover) == []
    assert (
        len(await list_records(isolated_transaction, organization_id=isolated_world.tern.id)) == 1
    )
    [deleted] = await list_records(isolated_transaction, action="audit.chain_deleted")
    assert deleted.before is not None
    assert deleted.before["records"] == 2


async def test_a_chain_is_deleted_also_if_the_record_of_the_deletion_was_dropped(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """From the chain of the installation, whose records can be dropped after 30 days."""
    async with isolated_transaction() as session:
        await organizations.delete_organization(
            session, isolated_world.charlie_member, signed_in_at=now()
        )
    await backdate(isolated_transaction, 61)
    async with isolated_transaction() as session:
        await session.execute(text(f"{DISABLE} all"))
        await session.execute(text("delete from audit_records where organization_id is null"))
        await session.execute(text(f"{ENABLE} trigger all"))
    async with isolated_transaction() as session:
        assert await audit.delete_expired_chains(session, keep_days=60) == 1
    plover = isolated_world.plover.id
    assert await list_records(isolated_transaction, organization_id=plover) == []


async def test_the_database_deletes_no_other_chain(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await events.record_events(session, [tag_event(isolated_world, "of Tern")])
    await backdate(isolated_transaction, 1000)
    delete = text("select delete_audit_chain(:chain, :days)")
    tern = {"chain": isolated_world.tern.id}
    async with isolated_transaction() as session:
        assert await session.scalar(delete, tern | {"days": 30}) == 0
    for days in (1, None):
        with pytest.raises(Exception, match="at least 30 days"):
            async with isolated_transaction() as session:
                await session.scalar(delete, tern | {"days": days})


async def test_the_doctor_reports_a_role_that_could_change_the_audit(
    isolated_settings: Settings,
) -> None:
    connection = await asyncpg.connect(isolated_settings.dsn)
    try:
        note = await doctor._describe_audit_protection(connection)
        assert "owns the table audit_records and could change it" in note
        await connection.execute(f"{DISABLE} protect")
        with pytest.raises(CommandError, match="missing or disabled"):
            await doctor._describe_audit_protection(connection)
    finally:
        await connection.close()
