"""`./run audit`: verify an export of the audit, write one, or list the organizations."""

import argparse
import asyncio
import sys
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
from core.config.installation import COMMAND
from core.config.settings import Settings

if TYPE_CHECKING:
    from services.audit import AuditAction

INSTALLATION = "installation"


def main(arguments: list[str]) -> int:
    parser = create_parser("audit", "Verify or write exports of the audit: see docs/audit.md.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    verify = commands.add_parser("verify", help="check an export, without a database")
    verify.add_argument("file", metavar="FILE", help="the export; - reads the standard input")
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
    for command in (export, listing):
        add_data_option(command)
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    if options.command == "verify":
        return verify_file(options.file, options.head)
    if options.command == "list":
        return asyncio.run(_list_chains(load_settings(options)))
    return asyncio.run(_export(load_settings(options), options))


def verify_file(file: str, head: str | None) -> int:
    """Verify an export, and print the result. Return 1 if it is damaged."""
    from services.audit import verify_export

    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as lines:
            # a line that is too long is cut, and so it is invalid
            result = verify_export(iter(partial(lines.readline, 10_000_000), b""))
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    if result.problem is None and head is not None and head != result.head:
        raise CommandError(f"The last record has the hash {result.head}, not {head}.")
    whose = result.organization_id or "the installation"
    if result.problem is not None:
        intact = f"{result.count} records before that are intact" if result.count else "none is"
        raise CommandError(f"{result.problem} ({intact}.)")
    print_line(f"ok: {result.count} records of {whose}, {result.first} to {result.last}")
    print_line(f"the hash of the last record is {result.head}")
    return 0


async def _export(settings: Settings, options: argparse.Namespace) -> int:
    from cli.database import open_database, open_transaction
    from cli.migrate import prepare_database
    from core.errors import NotFound
    from services import audit

    chain = _parse_chain(options.organization)
    async with open_database(settings) as settings:
        await prepare_database(settings)
        try:
            async with open_transaction(settings) as session:
                header = await audit.prepare_export(session, chain, options.after)
        except NotFound as error:
            raise CommandError(error.message) from None
        lines = audit.stream_export(lambda: open_transaction(settings), chain, header)
        try:
            with options.file.open("wb") as file:
                async for line in lines:
                    file.write(line)
        except OSError as error:
            raise CommandError(f"{options.file} cannot be written: {error.strerror}.") from None
    print_line(
        f"The audit is in {options.file}. To check it: {COMMAND} audit verify {options.file}"
    )
    return 0


async def _list_chains(settings: Settings) -> int:
    from cli.database import open_database, open_transaction
    from cli.migrate import prepare_database
    from services import audit

    async with open_database(settings) as settings:
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
        await audit.record_audit(session, [NewAuditRecord(action, target, organization_id=None)])


if __name__ == "__main__":
    run_as_script(main)
