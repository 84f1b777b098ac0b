"""Fields of forms that change an object, and edits that conflict with a change of somebody else.

A form has a hidden field with the hash of each value that it shows (`forms.shown` in
templates/macros/forms.html). While the object is locked, a view compares them:

    untouched = check_edit(form, list_edited_fields(thing))
    await things.update_thing(session, thing, fields.without(untouched))

and after the form was rejected:

    if form.conflicts:
        return await render_conflict(request, form, …)  # of web/ui/edit_conflicts.py

A field that the user left as it was is not written, so it never conflicts.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.errors import Conflict
from core.fields import FieldKind
from web.ui.forms import Form
from web.ui.text_comparison import TextComparison
from web.ui.translation import N_, translate

SHOWN_PREFIX = "shown."  # of the field with the hash of a shown value
KEEP_PREFIX = "keep."  # of the choice between two values
KEEP_CURRENT = "current"
DIGEST_SIZE = 12  # bytes


class EditedField(NamedTuple):
    """A field of a form, and its current value as the form shows it.

    `name` is also the name of the changed attribute in the audit, unless `column` is given.
    `submitted` reads the value if it is not in one field of that name.
    """

    name: str
    label: str  # marked for translation
    value: object
    kind: FieldKind = FieldKind.CHOICE
    column: str = ""
    submitted: Callable[[Form], object] | None = None
    is_user_label: bool = False  # the label is a text of users, so it is not translated

    def read_submitted(self, form: Form) -> object:
        """Return the submitted value."""
        if self.submitted is not None:
            return self.submitted(form)
        if isinstance(self.value, bool):
            return form.is_on(self.name)
        values = form.selected(self.name)
        if isinstance(self.value, list | tuple):
            return [value for value in values if value]
        return values[-1] if values else ""


@dataclass(frozen=True)
class FieldConflict:
    """A field that the user and somebody else have changed to different values."""

    field: EditedField
    mine: Sequence[str]
    current: Sequence[str]

    @property
    def label(self) -> str:
        """The name of the field in the reader's language."""
        label = self.field.label
        return label if self.field.is_user_label else translate(label)

    @property
    def mine_text(self) -> str:
        """The submitted text."""
        return "\n".join(self.mine)

    @property
    def current_hash(self) -> str:
        """The hash of the current value, which the form of the conflict shows."""
        return _hash(self.current)

    def compare(self) -> TextComparison:
        """Compare the current text with the submitted one."""
        return TextComparison("\n".join(self.current), self.mine_text)


def check_edit(
    form: Form, fields: Sequence[EditedField], relied_on: Set[str] = frozenset()
) -> set[str]:
    """Return the names of the fields that the user did not change, or does not want to change.

    Fields whose hash was not submitted count as changed. Raises Conflict, and keeps the conflicts
    in the form, if others have changed a field that the user changed too, or one in `relied_on`.
    """
    untouched = set[str]()
    conflicts = []
    for field in fields:
        shown = form.values.get(SHOWN_PREFIX + field.name)
        if shown is None:
            continue
        mine, current = (_normalize(value) for value in (field.read_submitted(form), field.value))
        is_given_up = form.value(KEEP_PREFIX + field.name) == KEEP_CURRENT
        if is_given_up or (_hash(mine) == shown[-1] and field.name not in relied_on):
            untouched.add(field.name)
        elif _hash(current) != shown[-1] and _strip(mine) != _strip(current):
            conflicts.append(FieldConflict(field, mine, current))
    if conflicts:
        form.conflicts = conflicts
        raise Conflict("edit_conflict", N_("This was changed meanwhile."))
    return untouched


def without(changes: Mapping[str, Any], untouched: Set[str]) -> dict[str, Any]:
    """Return the changes without those of fields that the user did not change."""
    return {name: value for name, value in changes.items() if name not in untouched}


def get_shown_hash(form: Form, name: str, value: object) -> str:
    """Return the hash of the value that a form shows first; it stays when the form is rejected."""
    submitted = form.values.get(SHOWN_PREFIX + name)
    return submitted[-1] if submitted else _hash(_normalize(value))


def _normalize(value: object) -> list[str]:
    """Return a value as texts. The order of a list does not count."""
    if value is None or value == "" or value is False:
        return []
    if isinstance(value, list | tuple):
        return sorted(map(str, value))
    text = "true" if value is True else str(value)
    return [text.replace("\r\n", "\n").replace("\r", "\n")]


def _hash(texts: Sequence[str]) -> str:
    encoded = json.dumps(texts).encode()
    return hashlib.blake2b(encoded, digest_size=DIGEST_SIZE).hexdigest()


def _strip(texts: Sequence[str]) -> list[str]:
    return [stripped for text in texts if (stripped := text.strip())]
