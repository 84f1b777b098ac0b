"""Full-text search for the API and for pages, and suggestions for the palette and text boxes."""

from services.search.queries import (
    MAX_MATCHES,
    SNIPPET_LENGTH,
    FoundObject,
    SearchFilters,
    SearchResult,
    SearchResults,
    build_search_query,
    is_searchable,
    search_for_page,
    search_texts,
)
from services.search.sources import Kind, ResultKind
from services.search.suggestions import (
    MAX_RECENT,
    MentionKind,
    RecentObject,
    TaskReference,
    TextPlace,
    get_board_place,
    get_group_place,
    load_recent_objects,
    suggest_boards,
    suggest_mentions,
    suggest_objects,
    suggest_tasks,
)
