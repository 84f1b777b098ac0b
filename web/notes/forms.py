"""Forms about notes."""

from pydantic import BaseModel

from models import GroupNote, Note
from services import memory
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.forms import Switch
from web.ui.translation import N_

SEPARATOR = ","  # of tags


class NoteForm(BaseModel):
    """A new note, and whether all agents of the group are notified of it."""

    content: str = ""
    broadcast: Switch = False

    def to_draft(self) -> memory.NoteDraft:
        """Return the note to create."""
        tags = [memory.BROADCAST_TAG] if self.broadcast else None
        return memory.NoteDraft(content=self.content, tags=tags)


class NoteEditForm(BaseModel):
    """The text and the tags of a note."""

    content: str = ""
    tags: str = ""

    def to_changes(self) -> dict[str, object]:
        """Return the changed fields."""
        tags = [tag.strip() for tag in self.tags.split(SEPARATOR) if tag.strip()]
        return {"content": self.content, "tags": tags or None}


def join_tags(note: Note | GroupNote) -> str:
    """Return the tags of a note as its form shows them."""
    return f"{SEPARATOR} ".join(note.tags or ())


def list_edited_fields(note: Note | GroupNote) -> list[EditedField]:
    """Return the current values of a note as its form shows them."""
    return [
        EditedField("content", N_("Note"), note.content, FieldKind.TEXT),
        EditedField("tags", N_("Tags"), join_tags(note), FieldKind.LINE),
    ]
