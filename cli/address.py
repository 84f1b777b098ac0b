"""`./run address`: print or change the address that people and agents use."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from cli.command import (
    CommandError,
    add_data_option,
    ask_for_confirmation,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from core.config.parsers import parse_base_url
from core.config.settings import Settings

if TYPE_CHECKING:
    from services.gateways.files import RewrittenFiles


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "address",
        "Print the address that people and agents use, or change it. The files of all agents on"
        " gateways are then written again with the new one.",
    )
    parser.add_argument("address", nargs="?", metavar="NEW", help="https://control.example.com")
    parser.add_argument("--yes", action="store_true", help="do not ask before it is changed")
    add_data_option(parser)
    options = parser.parse_args(arguments)

    def run() -> int:
        settings = load_settings(options)
        if options.address is None:
            return asyncio.run(_print_address(settings))
        try:
            address = parse_base_url(options.address)
        except ValueError as error:
            raise CommandError(f"The address {error}.") from None
        return asyncio.run(_change_address(settings, address, is_confirmed=options.yes))

    return run_command(run)


async def _print_address(settings: Settings) -> int:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import ensure_migrated
    from services.gateways import files

    async with open_existing_database(settings) as settings:
        await ensure_migrated(settings)
        async with open_transaction(settings) as session:
            stored = await files.find_public_address(session)
    print_line(stored or "No address is stored: the next start stores it.")
    return 0


async def _change_address(settings: Settings, address: str, *, is_confirmed: bool) -> int:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import ensure_migrated
    from services import audit
    from services.audit import AuditAction, AuditObject, NewAuditRecord
    from services.gateways import files

    async with open_existing_database(settings) as settings:
        await ensure_migrated(settings)
        async with open_transaction(settings) as session:
            stored = await files.find_public_address(session)
            rewritten = await files.list_rewritten_files(session)
            informed_count = await files.count_agents_with_own_files(session)
        if stored == address:
            print_line(f"The address is {address} already.")
            return 0
        _print_preview(stored, address, rewritten, informed_count)
        if not is_confirmed:
            ask_for_confirmation("Nothing was changed: add --yes to change the address.")
        async with open_transaction(settings) as session:
            await files.change_public_address(session, address)
            target = AuditObject("installation", None, address)
            record = NewAuditRecord(AuditAction.ADDRESS_CHANGED, target, organization_id=None)
            await audit.record_audit(session, [record])
    print_line(
        f"The address is {address}. Restart all servers and workers: those with another BASE_URL do"
        " not start. A worker then writes the files."
    )
    return 0


def _print_preview(
    stored: str | None, address: str, rewritten: "Sequence[RewrittenFiles]", informed_count: int
) -> None:
    print_line(f"The address changes from {stored or 'none'} to {address}.")
    print_line("These files are written again:" if rewritten else "No file contains it.")
    for (organization, gateway), agents in groupby(
        rewritten, lambda one: (one.organization, one.gateway)
    ):
        print_line(f"  {gateway} ({organization})")
        for one in agents:
            print_line(f"    {one.agent}: {', '.join(one.names)}")
    if informed_count:
        print_line(
            f"Agents to which you have given the address yourself: {informed_count}. Give them the"
            " new one."
        )


if __name__ == "__main__":
    run_as_script(main)
