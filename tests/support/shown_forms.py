"""The fields of forms that a page shows, to submit them again."""

import re
from html import unescape
from typing import Any

from web.ui.edited_fields import get_shown_hash
from web.ui.forms import Form

FORM = re.compile(r"<form.*?</form>", re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
AREA = re.compile(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', re.DOTALL)


def form_of(page: str, field: str) -> dict[str, Any]:
    """Return the hidden fields and the texts of the form in which a field can be edited."""
    form = next(form for form in FORM.findall(page) if f'name="shown.{field}"' in form)
    values: dict[str, list[str]] = {}
    for name, value in HIDDEN.findall(form) + AREA.findall(form):
        values.setdefault(name, []).append(unescape(value))
    return {name: found if len(found) > 1 else found[0] for name, found in values.items()}


def shown(**values: object) -> dict[str, str]:
    """Return the hidden fields of a form that shows these values."""
    return {f"shown.{name}": get_shown_hash(Form(), name, value) for name, value in values.items()}
