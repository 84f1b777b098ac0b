"""Full-text search for the API and for pages, and suggestions for the palette and text boxes."""

from services.search.pages import (
    MAX_MATCHES,
    TIME_LIMIT,
    FoundObject,
    SearchFilters,
    SearchResults,
    build_page_query,
    is_searchable,
    search_for_page,
)
from services.search.queries import (
    SearchResult,
    build_search_query,
    search_for_agent,
    search_for_member,
)
from services.search.references import (
    MAX_SUGGESTIONS,
    Mention,
    MentionKind,
    TaskReference,
    TextPlace,
    get_board_place,
    get_group_place,
    suggest_mentions,
    suggest_tasks,
)
from services.search.snippets import SNIPPET_LENGTH
from services.search.sources import Kind, ResultKind
from services.search.suggestions import (
    MAX_RECENT,
    RecentObject,
    load_recent_objects,
    suggest_objects,
)
