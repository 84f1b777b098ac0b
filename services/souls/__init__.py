"""Souls: ready-made characters for agents, from a bundled library and an optional directory.

The caller opens the transactions: one to load the cache, then, if it is outdated, a fetch without a
transaction, and another one to save the result. If the directory fails, cached data is served.
"""

from services.souls.directory_client import fetch_listing, fetch_soul
from services.souls.rules import (
    MAX_NAME_LENGTH,
    NAME_PATTERN,
    CachedSoul,
    RemoteDirectory,
    check_names,
    require_content,
)
from services.souls.store import (
    SoulEntry,
    claim_fetch,
    find_soul,
    load_directory,
    save_listing,
    save_soul,
    search_souls,
)
