"""Forms that change several tasks of a board at once."""

from datetime import date, time, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from models import Priority, Status
from services.tasks import MAX_BULK_TASKS, BulkChange
from web.boards.assignees import AssigneeValue, parse_assignee
from web.ui.forms import BlankAsNone, Form, Switch, parse_id
from web.ui.time_format import combine_local

END_OF_DAY = time(23, 59)


class BulkChangeForm(BaseModel):
    """A change of several tasks. Only submitted fields are changed."""

    ids: list[UUID] = Field(default=[], max_length=MAX_BULK_TASKS)
    status: Status | None = None
    priority: Priority | None = None
    assignee: AssigneeValue = ""
    due_at: Annotated[date | None, BlankAsNone] = None
    add_tag: list[UUID] = []
    remove_tag: list[UUID] = []
    delete: Switch = False

    def to_change(self, form: Form, zone: tzinfo) -> BulkChange:
        """Return the submitted change."""
        names = {"status", "priority", "due_at"} & set(form.values)
        fields: dict[str, Any] = self.model_dump(include=names)
        if "assignee" in form.values:
            fields |= parse_assignee(self.assignee)
        if "due_at" in fields:
            fields["due_at"] = combine_local(self.due_at, END_OF_DAY, zone)
        return BulkChange(
            fields=fields, added_tag_ids=self.add_tag, removed_tag_ids=self.remove_tag
        )

    def has_change(self, form: Form) -> bool:
        """Return whether the form says what to change."""
        return bool(set(form.values) - {"ids"} & set(type(self).model_fields))


def parse_task_ids(text: str) -> list[UUID]:
    """Parse ids separated by commas; what is not an id is left out."""
    found = map(parse_id, text.split(",")[:MAX_BULK_TASKS])
    return list(dict.fromkeys(id for id in found if id is not None))
