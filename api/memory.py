"""Notes and chat of boards and groups, as JSON (contract, people-and-boards 3.8 and 3.9)."""

from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import Field, StringConstraints

from api.fields import UNSENT, Answer, Body, Changes, Moment, Ok, Paged, Short, Words
from api.operations import Call, may_answer
from kit.http import settings_of
from kit.paging import Page
from services import memory
from services.memory import NoteDetail, Place

NoteTag = Annotated[str, StringConstraints(max_length=memory.LONGEST_TAG)]
Tags = Annotated[
    list[NoteTag],
    Field(
        max_length=memory.MOST_TAGS,
        description="`chat` makes of a note a message of the chat, which is told to agents.",
    ),
]
Source = Annotated[
    Short, Field(description="A label of your own. It says nothing of who writes: that is known.")
]


class MemoryRead(Answer):
    """A note, or a message of a chat, and who wrote it."""

    id: UUID
    content: str
    tags: list[str] | None
    source: str | None = Field(description="A label that its writer chose.")
    is_chat: bool
    created_at: Moment
    agent_id: UUID | None = Field(description="The agent that wrote it.")
    user_id: UUID | None = Field(description="The person who wrote it.")
    author_name: str | None = Field(description="Who wrote it, while they are there.")
    version: int = Field(description="It grows with every change. It begins the ETag.")
    updated_at: Moment


Read = TypeVar("Read", bound=MemoryRead)


class BoardMemoryRead(MemoryRead):
    """What a board remembers: a note, or a message of its chat."""

    board_id: UUID


class BoardGroupMemoryRead(MemoryRead):
    """What a group of boards remembers: a note, or a message of its chat."""

    board_group_id: UUID


def read(shape: type[Read], detail: NoteDetail) -> Read:
    """Make an answer of what the services know of a note."""
    of_the_row = shape.model_fields.keys() - {"author_name"}
    fields = {name: getattr(detail.note, name) for name in of_the_row}
    return shape(**fields, author_name=detail.author_name)


class MemoryCreate(Body):
    """Something to remember, or to say."""

    example = {"content": "The release is on Friday.", "tags": ["decision"]}

    content: Words
    tags: Tags | None = None
    source: Source | None = None

    @property
    def draft(self) -> memory.NoteDraft:
        """The same, as services take it."""
        return memory.NoteDraft(content=self.content, tags=self.tags, source=self.source)


class MemoryUpdate(Changes):
    """What may be changed of a note. Nobody is told of it anew, but whoever follows the stream."""

    example = {"content": "The release is on Monday."}

    content: Words = UNSENT
    tags: Tags | None = None
    source: Source | None = None


class MemoryFilter(Paged):
    """Which notes to list."""

    is_chat: bool | None = Field(
        default=None, description="Only messages of the chat, or only notes that are none."
    )


async def list_board_memory(call: Call, place: Place, query: MemoryFilter) -> Page[BoardMemoryRead]:
    """List what a board remembers, newest first."""
    return await _listed(call, place, query, BoardMemoryRead)


@may_answer(403)
async def create_board_memory(call: Call, place: Place, body: MemoryCreate) -> BoardMemoryRead:
    """Write a note on a board, or with the tag `chat` a message.

    The lead is told of a message, and whoever it mentions. `/pause` and `/resume`, as messages of
    people or of the lead, go to all agents of the board.
    """
    return read(BoardMemoryRead, await _written(call, place, body))


async def get_board_memory(call: Call, note: NoteDetail) -> BoardMemoryRead:
    """Return a note of a board."""
    return read(BoardMemoryRead, note)


@may_answer(403, 412)
async def update_board_memory(
    call: Call, place: Place, note: NoteDetail, body: MemoryUpdate
) -> BoardMemoryRead:
    """Change a note of a board. An agent changes its own, and the lead those of others too."""
    return read(BoardMemoryRead, await _changed(call, place, note, body))


async def list_group_memory(
    call: Call, place: Place, query: MemoryFilter
) -> Page[BoardGroupMemoryRead]:
    """List what a group of boards remembers, newest first; nothing for a board in no group."""
    return await _listed(call, place, query, BoardGroupMemoryRead)


async def create_group_memory(call: Call, place: Place, body: MemoryCreate) -> BoardGroupMemoryRead:
    """Write a note in a group of boards, or with the tag `chat` a message.

    The leads of its boards are told of a message, and whoever it mentions; with the tag
    `broadcast`, or `@all` in it, every agent of its boards.
    """
    return read(BoardGroupMemoryRead, await _written(call, place, body))


async def get_group_memory(call: Call, note: NoteDetail) -> BoardGroupMemoryRead:
    """Return a note of a group of boards."""
    return read(BoardGroupMemoryRead, note)


@may_answer(403, 412)
async def update_group_memory(
    call: Call, place: Place, note: NoteDetail, body: MemoryUpdate
) -> BoardGroupMemoryRead:
    """Change a note of a group. An agent changes its own, and leads those of others too."""
    return read(BoardGroupMemoryRead, await _changed(call, place, note, body))


@may_answer(403, 412)
async def delete_memory(call: Call, place: Place, note: NoteDetail) -> Ok:
    """Delete a note. An agent deletes its own, and a lead those of others too."""
    await memory.delete(call.session, call.actor, place, note, known=call.known_versions)
    return Ok()


async def _listed(call: Call, place: Place, query: MemoryFilter, shape: type[Read]) -> Page[Read]:
    found = await memory.listed(call.session, place, query.paging, is_chat=query.is_chat)
    return found.map(lambda detail: read(shape, detail))


async def _written(call: Call, place: Place, body: MemoryCreate) -> NoteDetail:
    where = settings_of(call.request).base_url
    return await memory.write(call.session, call.actor, place, body.draft, base_url=where)


async def _changed(call: Call, place: Place, note: NoteDetail, body: MemoryUpdate) -> NoteDetail:
    changes, known = body.changes(), call.known_versions
    return await memory.change(call.session, call.actor, place, note, changes, known=known)
