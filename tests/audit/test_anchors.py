"""Old records are dropped only behind an anchor, and only with an intact export of them."""

import argparse
import errno
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import func, select, text

from cli import audit as audit_command
from cli.command import CommandError
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.paging import Paging
from models import AuditAnchor, AuditRecord, EventType
from services import audit, events
from services.audit.chain import GENESIS_HASH
from services.events import NewEvent
from tests.support.audit_records import list_records
from tests.support.world import World

OLD, NEW = 4, 2  # records of each
TODAY = now().date()
LONG_AGO = TODAY - timedelta(days=60)
DROP = "select drop_audit_records($1, $2, $3)"


async def record_tags(transaction: TransactionFactory, world: World, count: int) -> None:
    async with transaction() as session:
        type, organization_id = EventType.TAG_CREATED, world.tern.id
        tags = [{"name": f"Tag {number}"} for number in range(count)]
        await events.record_events(
            session,
            [
                NewEvent(type, world.alice, organization_id=organization_id, data=one)
                for one in tags
            ],
        )


async def backdate_chain(
    transaction: TransactionFactory, chain: UUID, days: int, previous: str = GENESIS_HASH
) -> None:
    """Make the records older, with the hashes that they would have had then."""
    async with transaction() as session:
        await session.execute(text("alter table audit_records disable trigger all"))
        of_chain = select(AuditRecord).where(AuditRecord.organization_id == chain)
        for record in await session.scalars(of_chain.order_by(AuditRecord.sequence)):
            record.at -= timedelta(days=days)
            record.previous_hash = previous
            record.hash = previous = audit.compute_hash(audit.to_export(record))
        await session.flush()
        await session.execute(text("alter table audit_records enable trigger all"))


@pytest.fixture
async def chain(isolated_transaction: TransactionFactory, isolated_world: World) -> UUID:
    """A chain with old and new records."""
    await record_tags(isolated_transaction, isolated_world, OLD)
    await backdate_chain(isolated_transaction, isolated_world.tern.id, 90)
    await record_tags(isolated_transaction, isolated_world, NEW)
    return isolated_world.tern.id


async def drop(settings: Settings, chain: UUID, file: Path, before: date = LONG_AGO) -> int:
    options = argparse.Namespace(organization=str(chain), before=before, file=file)
    return await audit_command._drop(settings, options)


async def export_lines(
    transaction: TransactionFactory, chain: UUID | None, until: int = 2**63 - 1
) -> list[bytes]:
    """Return the lines of an export of what is stored."""
    async with transaction() as session:
        header = await audit.prepare_export(session, chain, 0)
    parts = [part async for part in audit.stream_export(transaction, chain, header, until)]
    return b"".join(parts).splitlines(keepends=True)


async def list_anchors(transaction: TransactionFactory) -> Sequence[AuditAnchor]:
    async with transaction() as session:
        return (await session.scalars(select(AuditAnchor).order_by(AuditAnchor.sequence))).all()


async def test_old_records_are_dropped_after_their_export(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dropped, rest = tmp_path / "old.jsonl", tmp_path / "rest.jsonl"
    [*_, last_old, _, _] = await list_records(isolated_transaction, organization_id=chain)
    assert await drop(isolated_settings, chain, dropped) == 0
    result = audit.verify_export(dropped.read_bytes().splitlines(keepends=True))
    assert (result.problem, result.first, result.last, result.head) == (
        *(None, 1, OLD),
        last_old.hash,
    )
    [anchor] = await list_anchors(isolated_transaction)
    assert (anchor.sequence, anchor.hash, anchor.record_count) == (OLD, last_old.hash, OLD)
    left = await list_records(isolated_transaction, organization_id=chain)
    names = [one.action for one in left]
    assert names == ["tag.created"] * NEW + ["audit.exported", "audit.records_dropped"]
    assert left[-1].before == {"records": OLD, "last": OLD, "head": last_old.hash}

    rest.write_bytes(b"".join(await export_lines(isolated_transaction, chain)))
    assert audit_command.main(["verify", str(dropped), str(rest)]) == 0
    assert f"they follow record {OLD} with the hash {last_old.hash}" in capsys.readouterr().out
    assert audit_command.main(["verify", str(rest), str(dropped)]) == 1
    assert "does not continue the export before it" in capsys.readouterr().err
    async with isolated_transaction() as session:
        page = await audit.list_audit_records(session, chain, audit.AuditFilters(), Paging())
        [listed] = [one for one in await audit.list_chains(session) if one.organization_id]
    assert page.total == len(page.items) == listed.count == NEW + 3

    await backdate_chain(isolated_transaction, chain, 70, anchor.hash)
    assert await drop(isolated_settings, chain, tmp_path / "next.jsonl") == 0
    files = [dropped, tmp_path / "next.jsonl"]
    assert audit_command.main(["verify", *map(str, files)]) == 0


def edit(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"Tag 0", b"Tag 9"), *lines[2:]]


DAMAGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "edited": (edit, "was edited: its hash is wrong"),
    "truncated": (lambda lines: lines[:-1], "it is truncated"),
    "empty": (lambda lines: [], "The file is empty"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_export_drops_nothing(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
    damage: str,
) -> None:
    file = tmp_path / "old.jsonl"
    change, problem = DAMAGES[damage]
    file.write_bytes(b"".join(change(await export_lines(isolated_transaction, chain))))
    with pytest.raises(CommandError, match=problem):
        await drop(isolated_settings, chain, file)
    assert await list_anchors(isolated_transaction) == []
    assert len(await list_records(isolated_transaction, organization_id=chain)) == OLD + NEW + 1


async def test_an_export_without_all_records_drops_nothing(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
) -> None:
    """One of the installation, one that ends too early, and one of records that were replaced."""
    other, early, replaced = (tmp_path / name for name in ("other", "early", "replaced"))
    other.write_bytes(b"".join(await export_lines(isolated_transaction, None)))
    early.write_bytes(b"".join(await export_lines(isolated_transaction, chain, OLD - 1)))
    replaced.write_bytes(b"".join(await export_lines(isolated_transaction, chain)))
    await backdate_chain(isolated_transaction, chain, 1)
    reasons = {other: "of another organization", early: "does not have all records from 1 to 4"}
    for file, reason in {**reasons, replaced: "has another record 4 than the database"}.items():
        with pytest.raises(CommandError, match=reason):
            await drop(isolated_settings, chain, file)
    assert await list_anchors(isolated_transaction) == []


async def test_recent_records_are_not_dropped(
    isolated_settings: Settings, chain: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "old.jsonl"
    with pytest.raises(CommandError, match="kept for at least 30 days"):
        await drop(isolated_settings, chain, file, TODAY - timedelta(days=29))
    with pytest.raises(CommandError, match="no records from before that day"):
        await drop(isolated_settings, chain, file, TODAY - timedelta(days=900))
    assert not file.exists()


async def test_the_records_of_the_day_itself_are_kept(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
) -> None:
    [oldest, *_] = await list_records(isolated_transaction, organization_id=chain)
    day, file = oldest.at.date(), tmp_path / "old.jsonl"
    with pytest.raises(CommandError, match="no records from before that day"):
        await drop(isolated_settings, chain, file, day)
    assert await drop(isolated_settings, chain, file, day + timedelta(days=1)) == 0


def test_the_command_requires_an_export(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        audit_command.main(["drop", "installation", "--before", "2026-01-31"])
    assert "--export" in capsys.readouterr().err


async def test_the_database_drops_no_other_records(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, chain: UUID
) -> None:
    """Neither with a wrong hash, nor recent ones, nor all, nor with the setting alone."""
    hashes = {
        one.sequence: one.hash
        for one in await list_records(isolated_transaction, organization_id=chain)
    }
    connection = await asyncpg.connect(isolated_settings.dsn)
    wrong: list[tuple[str, Any, Any]] = [
        ("does not have this hash", OLD, hashes[1]),
        ("does not have this hash", OLD, None),
        ("does not have this hash", 99, hashes[1]),
        ("at least 30 days", OLD + 1, hashes[OLD + 1]),
    ]
    for reason, number, hash in wrong:
        with pytest.raises(asyncpg.RaiseError, match=reason):
            await connection.fetchval(DROP, chain, number, hash)
    await connection.execute("alter table audit_records disable trigger all")
    await connection.execute("delete from audit_records where sequence > $1", OLD)
    await connection.execute("alter table audit_records enable trigger all")
    with pytest.raises(asyncpg.RaiseError, match="no record of the audit follows"):
        await connection.fetchval(DROP, chain, OLD, hashes[OLD])
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only added with dropped"):
        await connection.execute(
            "insert into audit_anchors values (gen_random_uuid(), $1, 1, $2, 1, now())",
            chain,
            hashes[1],
        )
    await connection.close()


async def test_a_drop_that_is_killed_has_changed_nothing_and_can_be_repeated(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
) -> None:
    file = tmp_path / "old.jsonl"
    (tmp_path / "old.jsonl.part").write_bytes(b"an export that was not completed")
    [*_, last_old, _, _] = await list_records(isolated_transaction, organization_id=chain)
    killed = await asyncpg.connect(isolated_settings.dsn)
    await killed.execute("begin")
    assert await killed.fetchval(DROP, chain, OLD, last_old.hash) == OLD
    async with isolated_transaction() as session:
        await session.execute(select(func.pg_terminate_backend(killed.get_server_pid())))
    await killed.close()
    assert len(await list_records(isolated_transaction, organization_id=chain)) == OLD + NEW
    assert await list_anchors(isolated_transaction) == []
    assert await drop(isolated_settings, chain, file) == 0
    assert len(await list_anchors(isolated_transaction)) == 1


async def test_the_anchor_is_deleted_with_the_chain_of_a_deleted_organization(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    chain: UUID,
    tmp_path: Path,
) -> None:
    await drop(isolated_settings, chain, tmp_path / "old.jsonl")
    [anchor] = await list_anchors(isolated_transaction)
    await backdate_chain(isolated_transaction, chain, 70, anchor.hash)
    async with isolated_transaction() as session:
        await session.execute(text("delete from task_descriptions"))
        await session.execute(text("delete from organizations where id = :id"), {"id": chain})
        assert await session.scalar(select(func.delete_audit_chain(chain, 30)))
    assert await list_anchors(isolated_transaction) == []


@pytest.mark.parametrize("last", [OLD, 2**40, None])
async def test_without_a_hash_the_database_drops_nothing(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, chain: UUID, last: Any
) -> None:
    owner = await asyncpg.connect(isolated_settings.dsn)
    with pytest.raises(asyncpg.RaiseError, match="does not have this hash"):
        await owner.execute(DROP, chain, last, None)
    await owner.close()
    assert len(await list_records(isolated_transaction, organization_id=chain)) == OLD + NEW


async def generate_line() -> AsyncGenerator[bytes]:
    yield b"line"


async def test_an_export_and_its_name_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    await audit_command._write_file(tmp_path / "old.jsonl", generate_line())
    assert synced == [tmp_path / "old.jsonl.part", tmp_path]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.ENOTSUP])
async def test_an_export_is_complete_where_only_files_can_be_written_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    sync = os.fsync

    def refuse_folder(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), tmp_path.stat()):
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folder)
    await audit_command._write_file(tmp_path / "old.jsonl", generate_line())
    assert (tmp_path / "old.jsonl").read_bytes() == b"line"
