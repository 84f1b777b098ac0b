"""Searching, as JSON."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Moment, Paged
from api.operations import Call
from kit.errors import Invalid
from kit.paging import Page
from models import Agent
from services import organizations, search
from services.search import Kind

LONGEST = 200  # characters of what is typed


class Part(Answer):
    """A piece of a text. Put the pieces together as text, never as markup."""

    text: str
    hit: bool = Field(description="Whether this is one of the words that were looked for.")


class SearchHit(Answer):
    """Something that was found."""

    kind: Kind
    id: UUID
    board_id: UUID | None
    board_name: str | None
    board_group_id: UUID | None = Field(description="Of what a group of boards remembers.")
    task_id: UUID | None = Field(description="The task, or that of the comment.")
    title: str = Field(description="Of a comment, its task's; of memory, its board's or group's.")
    title_parts: list[Part] = Field(description="The same in pieces.")
    snippet: list[Part] = Field(description="The text around the first hit, in pieces.")
    at: Moment = Field(description="When it was last changed.")


class Searching(Paged):
    """What to look for."""

    q: str = Field(
        default="",
        max_length=LONGEST,
        description="Words, or their beginnings, in any order: all of them have to be there. "
        "Signs part words and mean nothing else. Without a word, nothing is found.",
    )
    kind: str | None = Field(
        default=None,
        max_length=LONGEST,
        description=f"Several with commas between them: {', '.join(Kind)}.",
        examples=["task,comment"],
    )
    limit: int = Field(default=20, ge=1, le=200, description="How many, at most.")

    def kinds(self) -> list[Kind]:
        """Return the kinds that are asked for; none of them means all. Raises Invalid."""
        names = [name.strip() for name in (self.kind or "").split(",") if name.strip()]
        if not set(names) <= set(Kind):
            raise Invalid("unknown_kind", f"The kinds are {', '.join(Kind)}.")
        return [Kind(name) for name in names]


async def search_everything(call: Call, query: Searching) -> Page[SearchHit]:
    """Find tasks, comments, memory and boards by their words, best first.

    People find what they may read in their active organization, agents what is on their boards.
    """
    kinds = query.kinds()
    if isinstance(call.actor, Agent):
        found = await search.for_agent(call.session, call.actor, query.q, query.paging, kinds=kinds)
    else:
        member = await organizations.active(call.session, call.user)
        found = await search.for_member(call.session, member, query.q, query.paging, kinds=kinds)
    return found.map(SearchHit.model_validate)
