"""Pages of the notes and chat messages of boards and groups, and the addresses of single ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from core.db.reads import Source
from core.paging import Page, Paging, center_offset
from services import memory
from services.memory import MemoryScope, NoteDetail
from web.ui import forms

NOTES_PER_PAGE = 50  # also chat messages


@dataclass(frozen=True)
class NotePage:
    """A page of notes, newest first. `parameters` are those of the address that shows it again."""

    notes: Page[NoteDetail]
    parameters: Mapping[str, str]

    @property
    def query(self) -> str:
        """Return the query of the address with its question mark, or "" for the newest page."""
        return f"?{urlencode(self.parameters)}" if self.parameters else ""


async def load_note_page(
    source: Source, scope: MemoryScope, query: QueryParams, *, is_chat: bool
) -> NotePage:
    """Load the page around the note that an address names, or the page at its offset.

    A note that is not in the list selects the newest page.
    """
    note_id = forms.parse_id(query.get("note"))
    offset = min(forms.parse_number(query.get("offset")), forms.MAX_OFFSET)
    if note_id is not None:
        newer = await memory.count_newer_notes(source, scope, note_id, is_chat=is_chat)
        offset = center_offset(newer, NOTES_PER_PAGE)
    notes = await memory.list_notes(source, scope, Paging(NOTES_PER_PAGE, offset), is_chat=is_chat)
    place = {"note": str(note_id)} if note_id else {"offset": str(offset)}
    return NotePage(notes, place if offset else {})


def build_note_path(place: str, note_id: object, *, is_chat: bool) -> str:
    """Return the address of a note of a board or group: the page of the list that it is on."""
    return f"{place}/{'chat' if is_chat else 'notes'}?note={note_id}#note-{note_id}"
