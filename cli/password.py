"""`./run password EMAIL`: print a password reset link for a user who cannot sign in."""

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
    description = (
        "Print a link with which somebody chooses another password. It works once, for a day."
    )
    parser = create_parser("password", description)
    parser.add_argument("email", metavar="EMAIL", help="the address that they sign in with")
    add_address_options(parser)
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(
        lambda: asyncio.run(_print_link(load_linked_settings(options), options.email)) or 0
    )


async def _print_link(settings: Settings, email: str) -> None:
    from cli.database import open_existing_database, open_transaction
    from cli.migrate import prepare_database
    from core.errors import NotFound
    from services import identity

    async with open_existing_database(settings) as settings:
        await prepare_database(settings)
        try:
            async with open_transaction(settings) as session:
                secret = await identity.create_password_link(session, email)
        except NotFound as error:
            raise CommandError(error.message) from None
    print_line(f"{settings.base_url}/password#{secret}")


if __name__ == "__main__":
    run_as_script(main)
