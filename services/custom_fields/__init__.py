"""Custom fields: what an organization wants to know about its tasks, and what its tasks hold."""

from services.custom_fields.edits import change, create, delete
from services.custom_fields.finding import Definition, hold, listed
from services.custom_fields.on_tasks import (
    BoundField,
    begin,
    bound,
    bound_fields,
    changes_of,
    check,
    keep,
    shown,
)
from services.custom_fields.restoring import fitting
from services.custom_fields.rules import (
    LONGEST_REGEX,
    MOST_BOARDS,
    TYPES,
    VISIBILITIES,
    FieldDraft,
)

__all__ = [
    "LONGEST_REGEX",
    "MOST_BOARDS",
    "TYPES",
    "VISIBILITIES",
    "BoundField",
    "Definition",
    "FieldDraft",
    "begin",
    "bound",
    "bound_fields",
    "change",
    "changes_of",
    "check",
    "create",
    "delete",
    "fitting",
    "hold",
    "keep",
    "listed",
    "shown",
]
