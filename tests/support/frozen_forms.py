"""The forms of a page, with values that a person could submit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VALUES = {
    "email": "frozen@example.com",
    "url": "https://frozen.example/hook",
    "number": "3",
    "date": "2027-02-03",
    "datetime-local": "2027-02-03T04:05",
    "time": "09:30",
    "month": "2027-02",
}
"""The value of an empty field by its type."""
PASSWORDS = {
    "current": "correct horse battery",
    "password": "correct horse battery",
    "new": "another horse battery",
}
UNCHANGED = ("organization_name", "confirmation", "version", "next", "link")
"""Fields whose value must not be changed."""


@dataclass
class PageForm:
    """A form that is sent with POST."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # action, name, value


@dataclass
class Select:
    """The options of a field until its end is read."""

    name: str
    form: PageForm
    values: list[str] = field(default_factory=list)
    selected: list[str] = field(default_factory=list)
    is_multiple: bool = False


class FormReader(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self._by_id: dict[str, PageForm] = {}
        self._open: PageForm | None = None
        self._select: Select | None = None
        self._area: tuple[PageForm, dict[str, Any]] | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values: dict[str, Any] = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = PageForm(values.get("action", ""))
            if values.get("id"):
                self._open = self._by_id.setdefault(values["id"], self._open)
                self._open.action = values.get("action", "")
            if values.get("method", "").lower() == "post":
                self.forms.append(self._open)
            return
        form = self._open
        if values.get("form"):
            form = self._by_id.setdefault(values["form"], PageForm(""))
        if form is not None and "disabled" not in values:
            self._read_field(tag, form, values)
        if tag == "option" and self._select is not None and "disabled" not in values:
            self._select.values.append(values.get("value", ""))
            if "selected" in values:
                self._select.selected.append(values.get("value", ""))

    def _read_field(self, tag: str, form: PageForm, values: dict[str, Any]) -> None:
        name, kind = values.get("name", ""), values.get("type", "")
        if tag == "button" and kind in ("", "submit"):
            form.buttons.append((values.get("formaction", ""), name, values.get("value", "")))
        elif tag == "select":
            self._select = Select(name, form, is_multiple="multiple" in values)
        elif tag == "textarea":
            self._area, self._text = (form, values), ""
        elif tag == "input" and name:
            if kind in ("checkbox", "radio"):
                if "checked" in values:
                    form.fields.append((name, values.get("value", "on")))
            elif kind not in ("file", "submit"):
                form.fields.append((name, fill(name, kind or "text", values)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select" and self._select is not None:
            chosen, select = self._select.selected, self._select
            if not chosen and select.values and not select.is_multiple:
                chosen = select.values[:1]
            select.form.fields += [(select.name, value) for value in chosen]
            self._select = None
        elif tag == "textarea" and self._area is not None:
            form, values = self._area
            values["value"] = self._text.removeprefix("\n")
            form.fields.append((values.get("name", ""), fill(values["name"], "textarea", values)))
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._text += data


def fill(name: str, kind: str, values: dict[str, Any]) -> str:
    """Return a valid value of a field: a text is changed, other values stay."""
    value = str(values.get("value", ""))
    if kind == "hidden" or name in UNCHANGED:
        return value
    if kind == "password":
        return next((found for part, found in PASSWORDS.items() if part in name), "")
    if kind not in ("text", "textarea"):
        return value or values.get("min") or VALUES.get(kind, "frozen")
    if "pattern" in values or name in ("url", "source_url"):
        return value or VALUES["url"]
    limit = int(values.get("maxlength") or 200)
    return value + " 2" if value and len(value) + 2 <= limit else (value or "Frozen")[:limit]


def list_forms(page: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the address and the fields of each form of a page, with each of its buttons."""
    reader = FormReader()
    reader.feed(page)
    reader.close()
    for form in reader.forms:
        for action, name, value in form.buttons or [("", "", "")]:
            yield action or form.action, form.fields + ([(name, value)] if name else [])
