"""A browser without scripts, for tests of HTML: it follows links and submits forms."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urlencode, urljoin, urlsplit

import httpx2

VOID_ELEMENTS = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
WITHOUT_TEXT = {"head", "script", "style", "template"}
FIELDS = {"input", "select", "textarea"}
INSIDE_WORDS = {"b", "code", "em", "i", "mark", "strong"}  # other elements separate words


@dataclass(eq=False)
class Element:
    """An element of a page; what a person types into a field is written into its attributes."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: "Element | None" = None
    children: "list[Element | str]" = field(default_factory=list)

    def __contains__(self, text: str) -> bool:
        return text in self.text

    @property
    def text(self) -> str:
        """The text that is shown, with single spaces."""
        return " ".join("".join(self._list_texts()).split())

    @property
    def name(self) -> str:
        return self.attributes.get("aria-label") or self.text

    @property
    def value(self) -> str:
        """The value of a field: of a selection, the text of the chosen option."""
        if self.tag == "select":
            return self.chosen_options[0].text
        return self.attributes.get("value", "")

    @property
    def chosen_options(self) -> "list[Element]":
        options = self.find_all("option")
        return [one for one in options if "selected" in one.attributes] or options[:1]

    @property
    def is_shown(self) -> bool:
        """Whether the element is shown without scripts, perhaps in a <details> that is closed."""
        return not any(map(_is_hidden, self.list_ancestors()))

    def list_ancestors(self) -> "Iterator[Element]":
        """Return the element and all in which it is."""
        element: Element | None = self
        while element is not None:
            yield element
            element = element.parent

    def find_all(self, *tags: str) -> "list[Element]":
        """Return the elements inside with one of these tags."""
        inside = [child for child in self.children if isinstance(child, Element)]
        return [
            found
            for child in inside
            for found in ([child] if child.tag in tags else []) + child.find_all(*tags)
        ]

    def find_class(self, name: str) -> "list[Element]":
        """Return the elements inside that have a class and are shown."""
        found = self.find_all(*(one.tag for one in self._walk()))
        return [one for one in found if name in _get_classes(one) and one.is_shown]

    def _walk(self) -> "Iterator[Element]":
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._walk()

    def _list_texts(self) -> Iterator[str]:
        if self.tag in WITHOUT_TEXT or _is_hidden(self):
            return
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.attributes.get("aria-hidden") != "true":
                space = "" if child.tag in INSIDE_WORDS else " "
                yield space
                yield from child._list_texts()
                yield space


def _is_hidden(element: Element) -> bool:
    is_closed = element.tag == "dialog" and "open" not in element.attributes
    is_left_out = "hidden" in element.attributes or "js-only" in _get_classes(element)
    return is_closed or is_left_out or element.tag == "template"


def _get_classes(element: Element) -> list[str]:
    return element.attributes.get("class", "").split()


class TreeReader(HTMLParser):
    """Reads a page into elements."""

    def __init__(self) -> None:
        super().__init__()
        self.root = self._open = Element("document")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, self._open)
        self._open.children.append(element)
        if tag not in VOID_ELEMENTS:
            self._open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID_ELEMENTS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        element = next((one for one in self._open.list_ancestors() if one.tag == tag), None)
        if element is None or element.parent is None:
            return
        if tag == "textarea":
            text = "".join(child for child in element.children if isinstance(child, str))
            element.attributes["value"] = text.removeprefix("\n")
        self._open = element.parent

    def handle_data(self, data: str) -> None:
        self._open.children.append(data)


class PlainPage:
    """The page that a browser without scripts shows.

    Names are those that a screen reader reads: texts of links, buttons and labels, or a part of
    them if no name is equal. `within` is the id of the element that contains what is named.
    """

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.address = ""
        self.status = 0
        self.root = Element("document")

    @property
    def text(self) -> str:
        return self.root.text

    @property
    def heading(self) -> str:
        """The text of the only heading of the first level."""
        [heading] = [one for one in self.root.find_all("h1") if one.is_shown]
        return heading.text

    async def open(self, address: str) -> "PlainPage":
        """Open an address; return the page."""
        response = await self.client.get(address, follow_redirects=True)
        return self._show(response)

    async def follow(self, name: str, within: str = "") -> None:
        """Follow a link."""
        await self.open(self._resolve(self.get("a", name, within).attributes["href"]))

    async def press(self, name: str, within: str = "") -> None:
        """Press a button that submits its form."""
        button = self.get("button", name, within)
        assert button.attributes.get("type", "submit") == "submit", button.attributes
        form = self._find_form(button)
        assert form, f"The button {name!r} is in no form."
        action = button.attributes.get("formaction") or form.attributes.get("action", "")
        address = self._resolve(action or urldefrag(self.address)[0])
        sent = [*self._list_values(form)]
        if button.attributes.get("name"):
            sent.append((button.attributes["name"], button.attributes.get("value", "")))
        if form.attributes.get("method", "get").lower() == "get":
            await self.open(f"{address.partition('?')[0]}?{urlencode(sent)}")
            return
        response = await self.client.post(
            address,
            content=urlencode(sent),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            follow_redirects=True,
        )
        self._show(response)

    def fill(self, label: str, text: str, within: str = "") -> None:
        """Type into a field, or choose an option by its text."""
        found = self.get_field(label, within)
        if found.tag == "select":
            [option] = _choose_named(found.find_all("option"), text)
            for one in found.find_all("option"):
                one.attributes.pop("selected", None)
            option.attributes["selected"] = ""
        else:
            found.attributes["value"] = text

    def check(self, label: str, within: str = "", *, is_on: bool = True) -> None:
        """Check a box, or one of several radio buttons; or uncheck a box."""
        found = self.get_field(label, within)
        if found.attributes["type"] == "radio":
            for one in self._list_fields(self._find_form(found)):
                if one.attributes.get("name") == found.attributes["name"]:
                    one.attributes.pop("checked", None)
        found.attributes.pop("checked", None)
        if is_on:
            found.attributes["checked"] = ""

    def find(self, id: str) -> Element | None:
        """Return the element with an id, if it is shown."""
        found = [one for one in self.root._walk() if one.attributes.get("id") == id]
        assert len(found) <= 1, f"There are several elements with the id {id}."
        return found[0] if found and found[0].is_shown else None

    def part(self, id: str) -> Element:
        """Return the element with an id."""
        found = self.find(id)
        assert found, f"Nothing with the id {id} is shown at {self.address}:\n{self.text}"
        return found

    def get(self, tag: str, name: str, within: str = "") -> Element:
        """Return the first element with a tag and a name."""
        found = self.find_named(tag, name, within)
        assert found, f"There is no <{tag}> {name!r} at {self.address}:\n{self.text}"
        return found[0]

    def find_named(self, tag: str, name: str, within: str = "") -> list[Element]:
        """Return the elements with a tag and a name that are shown."""
        root = self.part(within) if within else self.root
        return _choose_named([one for one in root.find_all(tag) if one.is_shown], name)

    def get_field(self, label: str, within: str = "") -> Element:
        """Return the field with a label."""
        root = self.part(within) if within else self.root
        fields = [one for one in root.find_all(*FIELDS) if one.is_shown]
        fields = [one for one in fields if one.attributes.get("type") != "hidden"]
        labels = {one.attributes.get("for", ""): one.text for one in self.root.find_all("label")}

        def describe(one: Element) -> str:
            around = next((it for it in one.list_ancestors() if it.tag == "label"), None)
            return (
                one.attributes.get("aria-label")
                or labels.get(one.attributes.get("id") or "-", "")
                or (around.text if around else "")
            )

        names = [describe(one) for one in fields]
        for is_meant in (lambda name: name == label, lambda name: label in name):
            if found := [one for one, name in zip(fields, names, strict=True) if is_meant(name)]:
                return found[0]
        raise AssertionError(f"There is no field {label!r} at {self.address}, but {names}.")

    def _show(self, response: httpx2.Response) -> "PlainPage":
        self.status, self.address = response.status_code, str(response.url)
        reader = TreeReader()
        reader.feed(response.text)
        self.root = reader.root
        return self

    def _resolve(self, address: str) -> str:
        parts = urlsplit(urljoin(self.address, address))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def _find_form(self, element: Element) -> Element | None:
        if id := element.attributes.get("form"):
            [form] = [one for one in self.root.find_all("form") if one.attributes.get("id") == id]
            return form
        return next((one for one in element.list_ancestors() if one.tag == "form"), None)

    def _list_fields(self, form: Element | None) -> list[Element]:
        return [one for one in self.root.find_all(*FIELDS) if self._find_form(one) is form]

    def _list_values(self, form: Element) -> Iterator[tuple[str, str]]:
        for one in self._list_fields(form):
            name, kind = one.attributes.get("name"), one.attributes.get("type")
            is_left_out = "disabled" in one.attributes or kind == "file"
            if not name or is_left_out or any(it.tag == "template" for it in one.list_ancestors()):
                continue
            if one.tag == "select":
                for option in one.chosen_options:
                    yield name, option.attributes.get("value", option.text)
            elif kind not in ("checkbox", "radio"):
                yield name, re.sub(r"\r?\n", "\r\n", one.value)
            elif "checked" in one.attributes:
                yield name, one.attributes.get("value", "on")


def _choose_named(elements: list[Element], name: str) -> list[Element]:
    """Return the elements with a name, or otherwise those whose names contain it."""
    equal = [one for one in elements if one.name == name]
    return equal or [one for one in elements if name in one.name]
