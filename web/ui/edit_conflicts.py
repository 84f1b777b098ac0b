"""The page and the dialog that show both versions of a value that two people have changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from services import audit
from services.audit import LastChange
from web.ui.edited_fields import KEEP_PREFIX, SHOWN_PREFIX, FieldKind
from web.ui.forms import Form
from web.ui.layout import load_layout
from web.ui.posted_forms import ID_FIELD, ORIGIN_FIELD
from web.ui.render import is_part_request, render_in_thread, render_page, render_part, retarget
from web.ui.translation import _

ValueNames = Mapping[str, Mapping[str, str]]
"""The texts of values that are ids or codes, by field and value."""


@dataclass(frozen=True)
class ConflictContext:
    """What a conflict page says about the edited object.

    Its changes are recorded in the audit of `organization_id`; or else `last_change` is given.
    """

    title: str
    back: str  # the path of the page with the form
    action: str = ""  # the path that the merge is sent to, if not the one of the request
    organization_id: UUID | None = None
    object_id: UUID | None = None
    names: ValueNames | None = None
    last_change: LastChange | None = None
    suggest: str = ""  # whose people and tasks text boxes suggest: "board=…" or "group=…"
    editor: str = ""  # the id of the element with the form, which closes after the merge
    secrets: Mapping[str, str] | None = None  # labels of fields that no page shows, by name


async def render_conflict(request: Request, form: Form, about: ConflictContext) -> Response:
    """Render both versions of each field, with a form to merge them: a page, or a dialog."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_reader(request) as source:
        changes = {
            conflict.field.name: about.last_change
            or await audit.find_last_change(
                source,
                about.organization_id,
                about.object_id,
                conflict.field.column or conflict.field.name,
            )
            for conflict in form.conflicts
        }
    context: dict[str, Any] = {
        "about": about,
        "conflicts": form.conflicts,
        "changes": changes,
        "user": request.user,
        "names": about.names or {},
        "describe_value": describe_value,
        "hidden_fields": _list_hidden_fields(form, about),
        "secrets": {
            name: label for name, label in (about.secrets or {}).items() if form.value(name)
        },
        "action": about.action
        or f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}",
        # the element that htmx replaces: `aside#drawer` is `#drawer`
        "whole": "#" + request.headers.get("HX-Target", "").rpartition("#")[2],
    }
    if layout is not None:
        page = "conflicts/show.html"
        context |= {"layout": layout, "status": form.status}
        return await render_in_thread(render_page, request, page, **context)
    dialog = "conflicts/_dialog_content.html"
    response = await render_in_thread(render_part, request, dialog, status=form.status, **context)
    retarget(response, "#conflict-content")
    return response


def _list_hidden_fields(form: Form, about: ConflictContext) -> list[tuple[str, str]]:
    """Return the submitted fields that are not part of the conflicts. Secrets are entered again."""
    replaced = {ID_FIELD, ORIGIN_FIELD, *(about.secrets or ())}
    for conflict in form.conflicts:
        name = conflict.field.name
        replaced |= {SHOWN_PREFIX + name, KEEP_PREFIX + name}
        if conflict.field.kind is not FieldKind.CHOICE:
            replaced.add(name)
    kept = [(name, texts) for name, texts in form.values.items() if name not in replaced]
    return [(name, text) for name, texts in kept for text in texts]


def describe_value(names: ValueNames, field: str, values: Sequence[str]) -> str:
    """Return the text of a value that is not merged."""
    known = names.get(field, {})
    return ", ".join(known.get(value, value) for value in values) or known.get("") or _("Empty")
