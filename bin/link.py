"""`./run link`: prints a new link with which the first owner comes in."""

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
    options = parser("link", "Print a new link for the first owner. Older links end with it.")
    takes_address(options)
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: asyncio.run(_print_link(settings_for(given))) or 0)


async def _print_link(settings: Settings) -> None:
    from bin.database import opened
    from bin.migrate import ready

    async with opened(settings) as settings:
        await ready(settings)
        link = await first_run_link(settings)
    if not link:
        raise CannotGoOn(f"There is an owner already: sign in at {settings.base_url}/sign-in.")
    say(link)


async def first_run_link(settings: Settings) -> str | None:
    """Make a link for the first owner, the only one that works. None if there is an owner."""
    from bin.database import transaction
    from services import identity

    async with transaction(settings) as session:
        secret = await identity.first_run_link(session)
    return f"{settings.base_url}/first-run?link={secret}" if secret else None


if __name__ == "__main__":
    main_of(main)
