"""Souls: ready-made characters for agents, from a bundled library and an optional directory.

If the cache is outdated, the directory is asked without a transaction. If it fails, cached data is
served.
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
    SoulSearchResult,
    claim_fetch,
    find_soul,
    load_directory,
    read_soul,
    save_listing,
    save_soul,
    search_directory,
    search_souls,
)
