"""Souls: ready-made characters for agents, from a bundled library and an optional directory.

If the cache is outdated, the directory is asked without a transaction. If it fails, cached data is
served.
"""

from services.souls.directory_client import (
    MAX_NAME_LENGTH,
    NAME_PATTERN,
    RemoteDirectory,
    check_names,
    fetch_listing,
    fetch_soul,
)
from services.souls.store import (
    CachedSoul,
    SoulSearchResult,
    claim_fetch,
    find_soul,
    load_directory,
    read_soul,
    require_content,
    save_listing,
    search_directory,
    search_souls,
)
