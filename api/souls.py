"""The souls directory, as JSON (contract, people-and-boards 3.14)."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from api.fields import Answer, Moment
from api.operations import PREFIX, Call, between_transactions, may_answer
from kit.clock import now
from kit.http import settings_of
from services import souls

LONGEST = 200  # characters of what is typed
MOST = 100  # souls in one answer


def _name(told: str, example: str) -> WithJsonSchema:
    """Tell of a part of a path that the service looks at (contract, 3.14)."""
    limits = {"pattern": f"^{souls.NAME}$", "maxLength": souls.LONGEST_NAME}
    return WithJsonSchema({"type": "string", "description": told, "examples": [example], **limits})


Handle = Annotated[str, _name("Who wrote the soul.", "mission-control")]
Slug = Annotated[str, _name("How the soul is called.", "code-reviewer")]
Source = Literal["library", "directory"]


class SoulsDirectorySoulRef(Answer):
    """A soul in a list, and where all of it is."""

    handle: str = Field(description="Who wrote it.")
    slug: str
    page_url: str
    raw_md_url: str
    title: str
    description: str = Field(description="Blank while nobody has read it.")
    source: Source = Field(description="`library` ships with Mission Control.")

    @classmethod
    def of(cls, entry: souls.SoulEntry, call: Call) -> "SoulsDirectorySoulRef":
        """Make one of what the services know of a soul."""
        name = f"{entry.handle}/{entry.slug}"
        settings = settings_of(call.request)
        ours = f"{settings.base_url}{PREFIX}/souls-directory/{name}"
        theirs = settings.souls_directory_url
        return cls(
            handle=entry.handle,
            slug=entry.slug,
            page_url=ours if entry.is_ours else f"{theirs}/souls/{name}",
            raw_md_url=f"{ours}.md" if entry.is_ours else f"{theirs}/api/souls/{name}.md",
            title=entry.title,
            description=entry.description,
            source="library" if entry.is_ours else "directory",
        )


class SoulsDirectorySearchResponse(Answer):
    """What was found."""

    items: list[SoulsDirectorySoulRef]
    stale: bool = Field(
        description="The directory elsewhere did not answer lately: this is what is known of it."
    )


class SoulsDirectoryMarkdownResponse(Answer):
    """A soul."""

    handle: str
    slug: str
    content: str = Field(description="Markdown.")
    title: str
    description: str
    source: Source
    fetched_at: Moment | None = Field(description="When it was fetched; null for the library.")
    stale: bool = Field(description="It may have changed since it was fetched.")

    @classmethod
    def of(cls, found: souls.SoulFound) -> "SoulsDirectoryMarkdownResponse":
        """Make one of what the services know of a soul."""
        return cls(
            handle=found.handle,
            slug=found.slug,
            content=found.content or "",
            title=found.title,
            description=found.description,
            source="library" if found.is_ours else "directory",
            fetched_at=found.fetched_at,
            stale=found.is_stale(now()),
        )


class SoulSearch(BaseModel):
    """Which souls to list."""

    q: str = Field(
        default="",
        max_length=LONGEST,
        description="Words, or their beginnings, or a part of handle/slug. Blank: the first ones.",
    )
    limit: int = Field(default=20, ge=1, le=MOST, description="How many, at most.")


@may_answer(502)
@between_transactions
async def search(call: Call, query: SoulSearch) -> SoulsDirectorySearchResponse:
    """Find characters for agents, in the library and in the directory that is set."""
    async with call.transaction() as session:
        remote = await souls.look(session, settings_of(call.request).souls_directory_url)
        is_due = await souls.is_first_to_ask(session, remote)
    if is_due:
        listed = await souls.ask_for_list(remote)
        async with call.transaction() as session:
            remote = await souls.keep_list(session, remote, listed)
    async with call.transaction() as session:
        found = await souls.search(session, remote, query.q, query.limit)
    items = [SoulsDirectorySoulRef.of(entry, call) for entry in found]
    return SoulsDirectorySearchResponse(items=items, stale=remote.is_stale(now()))


@may_answer(404, 502)
@between_transactions
async def get_markdown(call: Call, handle: Handle, slug: Slug) -> SoulsDirectoryMarkdownResponse:
    """Return a soul as Markdown, for an agent's SOUL.md."""
    souls.check_names(handle, slug)
    async with call.transaction() as session:
        remote = await souls.look(session, settings_of(call.request).souls_directory_url)
        found = await souls.find(session, remote, handle, slug)
    if found.is_due(remote, now()):
        heard = await souls.ask_for_soul(remote, handle, slug)
        async with call.transaction() as session:
            found = await souls.keep_soul(session, remote, found, heard)
    return SoulsDirectoryMarkdownResponse.of(souls.settled(found, remote))
