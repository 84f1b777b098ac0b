"""Search and read souls from the cache, which is updated from the directory if it is outdated.

No transaction is open while the directory is asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from services.souls.directory_client import fetch_listing, fetch_soul
from services.souls.rules import CachedSoul, RemoteDirectory
from services.souls.store import (
    SoulEntry,
    claim_fetch,
    find_soul,
    load_directory,
    save_listing,
    save_soul,
    search_souls,
)


class SoulSearchResult(NamedTuple):
    """The souls that were found, and the state of the directory."""

    entries: Sequence[SoulEntry]
    remote: RemoteDirectory


async def search_directory(
    transaction: TransactionFactory, settings: Settings, text: str, limit: int
) -> SoulSearchResult:
    """Search the library and the directory. Raises UpstreamError, as `search_souls`."""
    async with transaction() as session:
        remote = await load_directory(session, settings.souls_directory_url)
        is_due = await claim_fetch(session, remote)
    if is_due:
        listed = await fetch_listing(remote, settings.services_allow_private)
        async with transaction() as session:
            remote = await save_listing(session, remote, listed)
    async with transaction() as session:
        return SoulSearchResult(await search_souls(session, remote, text, limit), remote)


async def read_soul(
    transaction: TransactionFactory, settings: Settings, handle: str, slug: str
) -> tuple[CachedSoul, RemoteDirectory]:
    """Return a soul, fetched if it is outdated, and the state of the directory.

    Its content is None if it does not exist or could not be fetched: see `require_content`.
    """
    async with transaction() as session:
        remote = await load_directory(session, settings.souls_directory_url)
        found = await find_soul(session, remote, handle, slug)
    if found.needs_fetch(remote, now()):
        fetched = await fetch_soul(remote, handle, slug, settings.services_allow_private)
        async with transaction() as session:
            found = await save_soul(session, remote, found, fetched)
    return found, remote
