"""`./run audit`: verify or write exports of the audit, list the chains, drop old records."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from core.config.paths import COMMAND
from core.config.settings import Settings
from core.files import sync_folder

if TYPE_CHECKING:
    from services.audit import AuditAction, DroppableRecords, VerificationResult

INSTALLATION = "installation"


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "audit", "Export, verify or list the audits, or drop old records: see docs/audit.md."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    verify = commands.add_parser("verify", help="check exports, without a database")
    verify.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="the export; - reads the standard input. Further ones must continue it",
    )
    verify.add_argument("--head", help="the hash that the last record must have")
    export = commands.add_parser("export", help="write the audit of an organization as JSON lines")
    export.add_argument(
        "organization", metavar="ORGANIZATION", help="its id, or `installation`; see `list`"
    )
    export.add_argument("file", metavar="FILE", type=Path, help="replaced if it is there")
    export.add_argument(
        "--after", type=int, default=0, help="the number of the last record that you have"
    )
    listing = commands.add_parser("list", help="list the organizations, also deleted ones")
    drop = commands.add_parser("drop", help="drop the first records of a chain after their export")
    drop.add_argument("organization", metavar="ORGANIZATION", help="as for `export`")
    drop.add_argument(
        "--before",
        metavar="DATE",
        type=_parse_day,
        required=True,
        help="only records from before this day (UTC), such as 2026-01-31; at least 30 days ago",
    )
    drop.add_argument(
        "--export",
        metavar="FILE",
        type=Path,
        required=True,
        dest="file",
        help="the export with these records: it is written unless it is there",
    )
    for command in (export, listing, drop):
        add_data_option(command)
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options))


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day such as 2026-01-31") from None


def _run(options: argparse.Namespace) -> int:
    if options.command == "verify":
        return verify_files(options.files, options.head)
    if options.command == "list":
        return asyncio.run(_list_chains(load_settings(options)))
    if options.command == "drop":
        return asyncio.run(_drop(load_settings(options), options))
    return asyncio.run(_export(load_settings(options), options))


def verify_files(files: Sequence[str], head: str | None) -> int:
    """Verify exports that continue each other, and print the result of each."""
    earlier = None
    for file in files:
        result = _verify(file)
        if earlier is not None and not result.continues(earlier):
            raise CommandError(f"{file} does not continue the export before it.")
        earlier = result
        whose = result.organization_id or "the installation"
        print_line(f"ok: {result.count} records of {whose}, {result.first} to {result.last}")
        if result.after:
            print_line(f"they follow record {result.after} with the hash {result.previous_hash}")
        print_line(f"the hash of the last record is {result.head}")
    if earlier is not None and head is not None and head != earlier.head:
        raise CommandError(f"The last record has the hash {earlier.head}, not {head}.")
    return 0


def _verify(file: str | Path, marked: int = 0) -> "VerificationResult":
    """Return what an export contains. Raises CommandError if it is damaged."""
    from services.audit import verify_export

    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as lines:
            # a line that is too long is cut, and so it is invalid
            result = verify_export(iter(partial(lines.readline, 10_000_000), b""), marked)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    if result.problem is not None:
        intact = f" ({result.count} records before that are intact.)" if result.count else ""
        raise CommandError(f"{file}: {result.problem}{intact}")
    return result


async def _export(settings: Settings, options: argparse.Namespace) -> int:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import prepare_database
    from core.errors import NotFound
    from services import audit

    chain = _parse_chain(options.organization)
    async with open_existing_database(settings) as settings:
        await prepare_database(settings)
        try:
            async with open_transaction(settings) as session:
                header = await audit.prepare_export(session, chain, options.after)
        except NotFound as error:
            raise CommandError(error.message) from None
        lines = audit.stream_export(lambda: open_transaction(settings), chain, header)
        await _write_file(options.file, lines)
    print_line(
        f"The audit is in {options.file}. To check it: {COMMAND} audit verify {options.file}"
    )
    return 0


async def _write_file(path: Path, lines: AsyncIterable[bytes]) -> None:
    """Write a file that is there only when it is complete and on the disk."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            async for line in lines:
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None


async def _drop(settings: Settings, options: argparse.Namespace) -> int:
    from sqlalchemy.exc import DBAPIError

    from cli.database import open_existing_database, open_transaction
    from cli.migrate import prepare_database
    from core.errors import AppError
    from services import audit

    chain = _parse_chain(options.organization)
    before = datetime.combine(options.before, datetime.min.time(), UTC)
    async with open_existing_database(settings) as settings:
        await prepare_database(settings)
        try:
            async with open_transaction(settings) as session:
                records = await audit.find_droppable_records(session, chain, before)
            if not options.file.exists():
                async with open_transaction(settings) as session:
                    header = await audit.prepare_export(session, chain, records.after)
                lines = audit.stream_export(
                    lambda: open_transaction(settings), chain, header, records.last
                )
                await _write_file(options.file, lines)
            _check_export(options.file, records)
            async with open_transaction(settings) as session:
                count = await audit.drop_records(session, records)
        except AppError as error:
            raise CommandError(error.message) from None
        except DBAPIError as error:
            raise CommandError(f"The database has dropped nothing: {error.orig}") from None
    print_line(f"{count} records up to number {records.last} were dropped. Keep {options.file}:")
    print_line(
        f"only with it can they be proved: {COMMAND} audit verify {options.file} LATER_EXPORT"
    )
    return 0


def _check_export(file: Path, records: "DroppableRecords") -> None:
    """Raise CommandError unless an export has all records that are to be dropped."""
    result = _verify(file, records.last)
    whose = str(records.organization_id) if records.organization_id else None
    if result.organization_id != whose:
        raise CommandError(f"{file} is an export of another organization. Nothing was dropped.")
    first = records.after + 1
    if result.after > records.after or result.marked_hash is None:
        raise CommandError(
            f"{file} does not have all records from {first} to {records.last}. Nothing was dropped."
        )
    if result.marked_hash != records.hash:
        raise CommandError(
            f"{file} has another record {records.last} than the database. Nothing was dropped."
        )


async def _list_chains(settings: Settings) -> int:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import prepare_database
    from services import audit

    async with open_existing_database(settings) as settings:
        await prepare_database(settings)
        async with open_transaction(settings) as session:
            chains = await audit.list_chains(session)
    for chain in chains:
        name = f"{chain.name or 'deleted'}" if chain.organization_id else "the installation"
        id = chain.organization_id or INSTALLATION
        print_line(f"{id}  {chain.count} records, head {chain.head}  {name}")
    return 0


def _parse_chain(text: str) -> UUID | None:
    if text == INSTALLATION:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise CommandError(
            f"{text} is not the id of an organization: {COMMAND} audit list"
        ) from None


async def record_operation(settings: Settings, action: "AuditAction", name: str) -> None:
    """Record what the operator did with the installation, if the database has an audit.

    The name is that of the file or the key.
    """
    from sqlalchemy import text

    from cli.database import open_transaction
    from services import audit
    from services.audit import AuditObject, NewAuditRecord

    async with open_transaction(settings) as session:
        if await session.scalar(text("select to_regclass('audit_records')")) is None:
            return
        target = AuditObject("installation", None, name)
        await audit.insert_records_now(
            session, [NewAuditRecord(action, target, organization_id=None)]
        )


if __name__ == "__main__":
    run_as_script(main)
