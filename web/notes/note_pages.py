"""Pages of the notes and chat messages of boards and groups, and the addresses of single ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from starlette.datastructures import QueryParams

from core.db.reads import Source
from core.paging import Page, Paging
from models import Agent, Board
from services import agents, memory
from services.memory import MemoryScope, NoteDetail
from web.ui.list_addresses import ListPosition, find_page_around

NOTES_PER_PAGE = 50  # also chat messages


@dataclass(frozen=True)
class NotePage:
    """A page of notes, newest first, and its position in the list."""

    notes: Page[NoteDetail]
    position: ListPosition


async def load_note_page(
    source: Source, scope: MemoryScope, query: QueryParams, *, is_chat: bool
) -> NotePage:
    """Load the page around the note that an address names, or the page at its offset.

    A note that is not in the list selects the newest page.
    """
    count_newer = partial(memory.count_newer_notes, source, scope, is_chat=is_chat)
    position = await find_page_around(query, "note", NOTES_PER_PAGE, count_newer)
    paging = Paging(NOTES_PER_PAGE, position.offset)
    notes = await memory.list_notes(source, scope, paging, is_chat=is_chat)
    return NotePage(notes, position)


async def load_authors(
    source: Source, notes: Page[NoteDetail], found: Collection[Board]
) -> Mapping[UUID, Agent]:
    """Load those of the agents that wrote some notes which are on one of these boards, by id."""
    if not found:
        return {}
    organization_id = next(iter(found)).organization_id
    ids = {one.note.agent_id for one in notes.items if one.note.agent_id}
    board_ids = {board.id for board in found}
    authors = await agents.load_agents(source, organization_id, ids)
    return {id: agent for id, agent in authors.items() if agent.board_id in board_ids}


def build_note_path(owner: str, note_id: object, *, is_chat: bool) -> str:
    """Return the address of a note of a board or group: the page of the list that it is on."""
    return f"{owner}/{'chat' if is_chat else 'notes'}?note={note_id}#note-{note_id}"
