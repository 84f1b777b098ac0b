"""The souls directory, and the souls of agents."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema

from api.framework.agent_operations import declare_agent, declare_shared
from api.framework.dependencies import board_for_lead, board_for_read
from api.framework.fields import Ok, ResponseModel, Timestamp
from api.framework.operation import (
    EITHER,
    PREFIX,
    Operation,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.clock import now
from models import Board
from services import agents, souls
from services.agents import SoulUpdate


def _name_schema(parameter_description: str, example: str) -> WithJsonSchema:
    """Return the schema of a path parameter that the service validates."""
    limits = {"pattern": f"^{souls.NAME_PATTERN}$", "maxLength": souls.MAX_NAME_LENGTH}
    return WithJsonSchema(
        {"type": "string", "description": parameter_description, "examples": [example], **limits}
    )


Handle = Annotated[str, _name_schema("The author of the soul.", "mission-control")]
Slug = Annotated[str, _name_schema("The name of the soul.", "code-reviewer")]
Source = Literal["library", "directory"]


class SoulsDirectorySoulRef(ResponseModel):
    """A soul in a list, with its URLs."""

    handle: str = Field(description="The author.")
    slug: str
    page_url: str
    raw_md_url: str
    title: str
    description: str = Field(description="Blank until the soul is fetched for the first time.")
    source: Source = Field(description="`library` is part of Mission Control.")


class SoulsDirectorySearchResponse(ResponseModel):
    """The souls that were found."""

    items: list[SoulsDirectorySoulRef]
    stale: bool = Field(
        description="The remote directory did not respond recently; the list is from the cache."
    )


class SoulsDirectoryMarkdownResponse(ResponseModel):
    """A soul."""

    handle: str
    slug: str
    content: str = Field(description="Markdown.")
    title: str
    description: str
    source: Source
    fetched_at: Timestamp | None = Field(description="When it was fetched; null for the library.")
    stale: bool = Field(description="It may have changed since it was fetched.")


class SoulSearch(BaseModel):
    """Which souls to list."""

    q: str = Field(
        default="",
        max_length=200,
        description="Words, beginnings of words, or a part of handle/slug. Blank: the first souls.",
    )
    limit: int = Field(default=20, ge=1, le=100, description="Maximum number of items.")


@error_responses(502)
@without_transaction
async def search_souls(context: RequestContext, query: SoulSearch) -> SoulsDirectorySearchResponse:
    """Search souls for agents, in the library and in the configured directory."""
    settings = context.settings
    found, remote = await souls.search_directory(
        context.transaction, settings, query.q, query.limit
    )
    items = []
    for entry in found:
        name = f"{entry.handle}/{entry.slug}"
        own_url = f"{settings.base_url}{PREFIX}/souls-directory/{name}"
        page_url, raw_md_url = own_url, f"{own_url}.md"
        if not entry.is_bundled:
            page_url = f"{settings.souls_directory_url}/souls/{name}"
            raw_md_url = f"{settings.souls_directory_url}/api/souls/{name}.md"
        items.append(
            SoulsDirectorySoulRef(
                handle=entry.handle,
                slug=entry.slug,
                page_url=page_url,
                raw_md_url=raw_md_url,
                title=entry.title,
                description=entry.description,
                source="library" if entry.is_bundled else "directory",
            )
        )
    return SoulsDirectorySearchResponse(items=items, stale=remote.is_stale(now()))


@error_responses(404, 502)
@without_transaction
async def get_soul_markdown(
    context: RequestContext, handle: Handle, slug: Slug
) -> SoulsDirectoryMarkdownResponse:
    """Return a soul as Markdown, for an agent's SOUL.md."""
    souls.check_names(handle, slug)
    found, remote = await souls.read_soul(context.transaction, context.settings, handle, slug)
    soul = souls.require_content(found, remote)
    return SoulsDirectoryMarkdownResponse(
        handle=handle,
        slug=slug,
        content=soul.content or "",
        title=soul.title,
        description=soul.description,
        source="library" if soul.is_bundled else "directory",
        fetched_at=soul.fetched_at,
        stale=soul.is_stale(now()),
    )


@reads_only
@error_responses(404)
async def get_agent_soul(context: RequestContext, board: Board, agent_id: UUID) -> str:
    """Return the soul of an agent as text, empty if it has none. For the agent and its lead."""
    return await agents.get_soul(context.source, context.agent, board, agent_id)


@error_responses(404)
async def update_agent_soul(
    context: RequestContext, board: Board, agent_id: UUID, body: SoulUpdate
) -> Ok:
    """Replace the soul of an agent of your board. It is stored as text and never executed."""
    await agents.write_soul(context.session, context.agent, board, agent_id, body)
    return Ok()


SOUL = "/souls-directory/{handle}/{slug}"
AGENT_SOUL = "/boards/{board_id}/agents/{agent_id}/soul"

OPERATIONS = [
    declare_shared(
        "GET", "/souls-directory/search", search_souls, "souls-directory", "agent_soul_search"
    ),
    Operation(
        "GET",
        "/souls-directory/{handle}/{slug}.md",
        get_soul_markdown,
        EITHER,
        ["souls-directory"],
        id="get_markdown_api_v1_souls_directory__handle___slug__md_get",
    ),
    declare_shared("GET", SOUL, get_soul_markdown, "souls-directory", "agent_soul_lookup"),
    declare_agent("GET", AGENT_SOUL, get_agent_soul, "agent_board_soul_lookup", board_for_read),
    declare_agent(
        "PUT", AGENT_SOUL, update_agent_soul, "agent_knowledge_authoring", board_for_lead
    ),
]
