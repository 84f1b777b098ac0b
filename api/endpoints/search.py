"""Search."""

from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field

from api.framework.agent_operations import declare_shared
from api.framework.fields import PageQuery, ResponseModel, Timestamp
from api.framework.operation import reads_only
from api.framework.request_context import RequestContext
from core.errors import Invalid
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Agent
from services import organizations, search
from services.search import Kind

MAX_QUERY_LENGTH = 200  # characters


class TextPart(ResponseModel):
    """A part of a text. Join the parts as text, never as markup."""

    component: ClassVar[str] = "Part"

    text: str
    hit: bool = Field(description="Whether this part matches the query.")


class SearchHit(ResponseModel):
    """A search result."""

    kind: Kind
    id: UUID
    board_id: UUID | None
    board_name: str | None
    board_group_id: UUID | None = Field(description="Of memory of a board group.")
    task_id: UUID | None = Field(description="The task, or the task of the comment.")
    title: str = Field(
        description="For comments the title of the task; for memory the name of board or group."
    )
    title_parts: list[TextPart] = Field(description="The title in parts.")
    snippet: list[TextPart] = Field(description="The text around the first match, in parts.")
    at: Timestamp = Field(description="When it was last changed.")


encode_hit = build_encoder(SearchHit)


class SearchQuery(PageQuery):
    """What to search for."""

    component: ClassVar[str] = "Searching"

    q: str = Field(
        default="",
        max_length=MAX_QUERY_LENGTH,
        description="Words or beginnings of words, in any order; all must match. Punctuation only "
        "separates words. A query without words finds nothing.",
    )
    kind: str | None = Field(
        default=None,
        max_length=MAX_QUERY_LENGTH,
        description=f"One or more, separated by commas: {', '.join(Kind)}.",
        examples=["task,comment"],
    )
    limit: int = Field(default=20, ge=1, le=200, description="Maximum number of items.")

    def kinds(self) -> list[Kind]:
        """Return the requested kinds; an empty list means all. Raises Invalid."""
        names = [name.strip() for name in (self.kind or "").split(",") if name.strip()]
        if not set(names) <= set(Kind):
            raise Invalid("unknown_kind", f"The kinds are {', '.join(Kind)}.")
        return [Kind(name) for name in names]


@reads_only
async def search_everything(
    context: RequestContext, query: SearchQuery
) -> Encoded[Page[SearchHit]]:
    """Search tasks, comments, memory and boards by words, best match first.

    Users find what they may read in their active organization; agents find what is on their boards.
    """
    kinds, actor = query.kinds(), context.actor
    if not isinstance(actor, Agent):
        actor = await organizations.get_or_create_active_membership(context.source, context.user)
    found = await search.search_texts(context.source, actor, query.q, query.paging, kinds=kinds)
    return encode_page(found, _build_hit_fields)


def _build_hit_fields(hit: search.SearchResult) -> dict[str, Any]:
    """Return the fields of a SearchHit, in the order of the model."""
    return {
        **encode_hit(hit),
        "title_parts": [part._asdict() for part in hit.title_parts],
        "snippet": [part._asdict() for part in hit.snippet],
    }


OPERATIONS = [
    declare_shared("GET", "/search", search_everything, "search", "agent_search"),
]
