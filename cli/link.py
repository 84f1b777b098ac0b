"""`./run link`: print a new first-run link for the first owner."""

import asyncio

from cli.command import (
    CommandError,
    add_address_options,
    add_data_option,
    create_parser,
    print_line,
    run_as_script,
    run_command,
)
from cli.server_address import load_linked_settings
from core.config.settings import Settings


def main(arguments: list[str]) -> int:
    parser = create_parser("link", "Print a new link for the first owner. Older links end with it.")
    add_address_options(parser)
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: asyncio.run(_print_link(load_linked_settings(options))) or 0)


async def _print_link(settings: Settings) -> None:
    from cli.database import open_existing_database
    from cli.migrate import prepare_database

    async with open_existing_database(settings) as settings:
        await prepare_database(settings)
        link = await create_first_run_url(settings)
    if not link:
        raise CommandError(f"There is an owner already: sign in at {settings.base_url}/sign-in.")
    print_line(link)


async def create_first_run_url(settings: Settings) -> str | None:
    """Create the only valid first-run link, or return None if there is an owner already."""
    from cli.database import open_transaction
    from services import identity

    async with open_transaction(settings) as session:
        secret = await identity.create_first_run_link(session)
    return f"{settings.base_url}/first-run#{secret}" if secret else None


if __name__ == "__main__":
    run_as_script(main)
