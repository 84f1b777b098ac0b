"""`./run password EMAIL`: prints a link by which somebody who cannot sign in comes in again."""

import asyncio

from bin.command import (
    CannotGoOn,
    ended,
    main_of,
    parser,
    say,
    settings_for,
    takes_address,
    takes_data,
)
from kit.settings import Settings


def main(arguments: list[str]) -> int:
    about = "Print a link with which somebody chooses another password. It works once, for a day."
    options = parser("password", about)
    options.add_argument("email", metavar="EMAIL", help="the address that they sign in with")
    takes_address(options)
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: asyncio.run(_print_link(settings_for(given), given.email)) or 0)


async def _print_link(settings: Settings, email: str) -> None:
    from bin.database import opened, transaction
    from bin.migrate import ready
    from kit.errors import NotFound
    from services import accounts

    async with opened(settings) as settings:
        await ready(settings)
        try:
            async with transaction(settings) as session:
                secret = await accounts.password_link(session, email)
        except NotFound as refusal:
            raise CannotGoOn(refusal.message) from None
    say(f"{settings.base_url}/password?link={secret}")


if __name__ == "__main__":
    main_of(main)
