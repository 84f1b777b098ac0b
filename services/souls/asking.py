"""Asking the directory elsewhere. This waits for the network: no transaction is open meanwhile."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from kit.fetching import CannotFetch, NothingThere, fetch
from services.souls.reading import Listed, Unreadable, listed_in
from services.souls.rules import Remote

LARGEST_LIST = 5_000_000  # bytes
LARGEST_SOUL = 200_000

log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """What was heard of a soul: its content; that there is none; or, if neither, nothing."""

    content: str | None = None
    is_gone: bool = False


async def ask_for_list(remote: Remote) -> Sequence[Listed] | None:
    """Return the souls that a directory lists, or None if it does not answer as it should."""
    try:
        sitemap = await fetch(f"{remote.address}/sitemap.xml", most=LARGEST_LIST)
        return await asyncio.to_thread(listed_in, sitemap)
    except (CannotFetch, Unreadable) as error:
        log.warning("The souls directory did not tell what it has: %s", error)
        return None


async def ask_for_soul(remote: Remote, handle: str, slug: str) -> Heard:
    """Return what a directory says of one soul."""
    address = f"{remote.address}/api/souls/{handle}/{slug}.md"
    try:
        return Heard(await fetch(address, most=LARGEST_SOUL))
    except NothingThere:
        return Heard(is_gone=True)
    except CannotFetch as error:
        log.warning("The souls directory did not tell a soul: %s", error)
        return Heard()
