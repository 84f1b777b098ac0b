"""Fill a form of a rendered page with the values that were submitted before."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

from markupsafe import escape

from web.ui.form_origin import FIELD

Fields = Sequence[tuple[str, str]]
Edit = tuple[int, int, str]
"""A part of the page by its begin and end, and what replaces it."""
NoticeRenderer = Callable[[bool, list[tuple[str, str]]], str]
"""Renders the notice: whether the form was found, and the values that have no field in it."""

UNSHOWN = "form_id"  # has no text that was typed
UNFILLED_TYPES = {"password", "file", "submit", "button", "reset", "image"}
CHOICES = {"checkbox", "radio"}
ALWAYS_FILLED = {*CHOICES, "select"}
CONTAINERS = {"details", "dialog"}


@dataclass
class _Tag:
    """A start tag, and where it is in the page."""

    name: str
    attributes: dict[str, str | None]
    start: int
    end: int

    def get(self, attribute: str) -> str:
        return self.attributes.get(attribute) or ""

    def render(self, **changed: str | None) -> str:
        """Return the tag with an attribute for each value, and without those that are None."""
        attributes = {**self.attributes, **changed}
        shown = [
            f' {name}="{escape(value or "")}"'
            for name, value in attributes.items()
            if name not in changed or value is not None
        ]
        return f"<{self.name}{''.join(shown)}>"


@dataclass
class _Control:
    """A field of a form, with its options."""

    tag: _Tag
    content_end: int = 0  # of a text area
    options: list[_Tag] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.tag.get("name")

    @property
    def kind(self) -> str:
        return self.tag.get("type").lower() if self.tag.name == "input" else self.tag.name

    def fill(self, values: list[str]) -> list[Edit]:
        """Return the changes that show the values; a field with a text takes the first one."""
        tag = self.tag
        if self.kind in UNFILLED_TYPES or self.name == FIELD:
            return []
        if self.kind in CHOICES:
            is_on = tag.attributes.get("value", "on") in values
            return [(tag.start, tag.end, tag.render(checked="" if is_on else None))]
        if self.kind == "select":
            return [_choose_option(option, values) for option in self.options]
        if not values:
            return []
        if self.kind == "textarea":
            return [(tag.end, self.content_end, f"\n{escape(values.pop(0))}")]
        return [(tag.start, tag.end, tag.render(value=values.pop(0)))]


def _choose_option(option: _Tag, values: list[str]) -> Edit:
    chosen = "" if option.get("value") in values else None
    return option.start, option.end, option.render(selected=chosen)


@dataclass
class _FoundForm:
    """A form of the page, its fields, and the closed elements around it."""

    tag: _Tag
    containers: list[_Tag]
    controls: list[_Control] = field(default_factory=list)
    buttons: list[_Tag] = field(default_factory=list)

    def is_sent_to(self, path: str) -> bool:
        """Return whether the form, or one of its buttons, posts to a path."""
        addresses = [self.tag.get("action"), *(one.get("formaction") for one in self.buttons)]
        is_posted = self.tag.get("method").lower() == "post"
        return is_posted and path in [urlsplit(address).path for address in addresses]

    def compare(self, fields: Fields) -> tuple[int, int, int]:
        """Return how much the form differs from the one that was submitted."""
        sent, own = dict(fields), {one.name for one in self.controls}
        known = own | {button.get("name") for button in self.buttons}
        other_hidden = [
            one
            for one in self.controls
            if one.kind == "hidden"
            and one.name not in (FIELD, UNSHOWN)
            and one.tag.get("value") != sent.get(one.name)
        ]
        return len(sent.keys() - known), len(other_hidden), len(own - sent.keys())


def fill_form(page: str, path: str, fields: Fields, render_notice: NoticeRenderer) -> str:
    """Return a page with the form filled in that was submitted to this path.

    Of several forms, it is the one with the most similar fields. A notice is at its beginning, or
    at that of the page if it has no such form.
    """
    reader = _FormReader(page)
    candidates = [form for form in reader.forms if form.is_sent_to(path)]
    names = {name for name, _ in fields}
    form = min(candidates, key=lambda one: one.compare(fields), default=None)
    if form is None or form.compare(fields)[0] == len(names):
        at = reader.main_end
        notice = render_notice(False, [pair for pair in fields if pair[0] != UNSHOWN])
        return page[:at] + notice + page[at:]
    edits, rest = _fill_controls(form, fields)
    edits += [(one.start, one.end, one.render(open="")) for one in form.containers]
    start = form.tag.render(**{"data-restored": ""}) + render_notice(True, rest)
    edits.append((form.tag.start, form.tag.end, start))
    for begin, end, text in sorted(edits, reverse=True):
        page = page[:begin] + text + page[end:]
    return page


def _fill_controls(form: _FoundForm, fields: Fields) -> tuple[list[Edit], list[tuple[str, str]]]:
    """Return the changes of the page, and the values for which there is no field."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in fields:
        values[name].append(value)
    edits = [edit for control in form.controls for edit in control.fill(values[control.name])]
    shown = {one.name for one in form.controls if one.kind in ALWAYS_FILLED} | {UNSHOWN}
    shown |= {button.get("name") for button in form.buttons}
    left = {name: all for name, all in values.items() if name not in shown}
    return edits, [(name, value) for name, all in left.items() for value in all if value]


class _FormReader(HTMLParser):
    """Finds the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[_FoundForm] = []
        self.main_end = 0
        self._lines = [0]
        for line in page.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._form: _FoundForm | None = None
        self._containers: list[_Tag] = []
        self._control: _Control | None = None
        self._apart: list[tuple[str, _Control]] = []  # fields with the id of their form
        self._apart_buttons: list[_Tag] = []
        self.feed(page)
        self.close()
        for id, control in self._apart:
            for form in self.forms:
                if form.tag.get("id") == id:
                    form.controls.append(control)
        for form in self.forms:
            id = form.tag.get("id")
            form.buttons += [one for one in self._apart_buttons if id and one.get("form") == id]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start = self._offset()
        found = _Tag(tag, dict(attrs), start, start + len(self.get_starttag_text() or ""))
        if tag in ("input", "textarea", "select") and found.get("name"):
            self._add_control(_Control(found))
        elif tag in CONTAINERS:
            self._containers.append(found)
        elif tag == "main":
            self.main_end = found.end
        elif tag == "form":
            self._form = _FoundForm(found, [*self._containers])
            self.forms.append(self._form)
        else:
            self._add_child(found)

    def _add_child(self, found: _Tag) -> None:
        """Add an option to the last field, or a button to the form."""
        if found.name == "option" and self._control and "value" in found.attributes:
            self._control.options.append(found)
        if found.name == "button" and "form" in found.attributes:
            self._apart_buttons.append(found)
        elif found.name == "button" and self._form:
            self._form.buttons.append(found)

    def _add_control(self, control: _Control) -> None:
        self._control = control
        if "form" in control.tag.attributes:
            self._apart.append((control.tag.get("form"), control))
        elif self._form:
            self._form.controls.append(control)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in CONTAINERS and self._containers:
            self._containers.pop()
        elif tag == "textarea" and self._control:
            self._control.content_end = self._offset()

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column
