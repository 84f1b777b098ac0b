"""Every page has one heading, names for its controls, and references to elements that exist.

These are the rules of axe that need no browser; tests/browser/pages checks the others.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import httpx2
import pytest

from tests.support.page_routes import list_page_addresses
from tests.support.plain_browser import FIELDS, Element, TreeReader

NAMES = ("aria-label", "aria-labelledby", "title")
REFERENCES = ("for", "form", "list", "headers", "aria-labelledby", "aria-describedby")
TEXT = "A page"
DOCUMENT = f'<html lang="en"><title>{TEXT}</title><h1>{TEXT}</h1>{{}}</html>'


def walk(element: Element) -> Iterator[Element]:
    for child in element.children:
        if isinstance(child, Element):
            yield child
            yield from walk(child)


def list_faults(body: str) -> Iterator[str]:
    """List what a screen reader cannot name or find in a page, or in a part of one."""
    reader = TreeReader()
    reader.feed(body)
    elements = [*walk(reader.root)]
    ids = Counter(one.attributes["id"] for one in elements if "id" in one.attributes)
    labelled = {one.attributes.get("for", "") for one in elements if one.tag == "label"}
    yield from (f"{count} times #{id}" for id, count in ids.items() if count > 1)
    yield from (f"no name: {describe(one)}" for one in elements if not has_name(one, labelled))
    if not reader.root.find_all("html"):
        return  # the page has what its part refers to
    for one in elements:
        if one.tag == "dialog" and "open" not in one.attributes:
            continue  # its content is loaded before it opens
        for id in (id for name in REFERENCES for id in one.attributes.get(name, "").split()):
            if id not in ids:
                yield f"no #{id} for {describe(one)}"
    headings = [one for one in reader.root.find_all("h1") if one.is_shown]
    if len(headings) != 1:
        yield f"{len(headings)} headings of the first level"
    if not any(one.attributes.get("lang") for one in reader.root.find_all("html")):
        yield "no language"
    if not any("".join(map(str, one.children)).strip() for one in reader.root.find_all("title")):
        yield "no title"


def describe(element: Element) -> str:
    return f"<{element.tag} {element.attributes}>"


def has_name(element: Element, labelled: Set[str]) -> bool:
    """Return whether an element has a name, or needs none."""
    attributes, tag = element.attributes, element.tag
    if tag == "img":
        return "alt" in attributes
    if tag not in {"a", "button", "summary", *FIELDS} or attributes.get("type") == "hidden":
        return True
    if any("hidden" in one.attributes for one in (element, element.parent) if one):
        return True  # scripts press it
    if any(attributes.get(name) for name in NAMES):
        return True
    if tag in FIELDS:
        is_inside = any(one.tag == "label" for one in element.list_ancestors())
        return is_inside or attributes.get("id") in labelled
    return bool(read_name(element))


def read_name(element: Element) -> str:
    """Return the texts inside an element, whether or not they are shown at the moment."""
    if element.attributes.get("aria-hidden") == "true":
        return ""
    parts = (one if isinstance(one, str) else read_name(one) for one in element.children)
    return "".join([element.attributes.get("alt", ""), *parts]).strip()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('<p id="a"></p><p id="a"></p>', "2 times #a"),
        ("<label>Name</label><input>", "no name: <input"),
        ('<button><svg aria-hidden="true"><title>Close</title></svg></button>', "no name: <button"),
        ('<a href="/"><img src="/x.svg"></a>', "no name: <a"),
        ('<label for="b">Name</label><input aria-label="Name">', "no #b for <label"),
        ('<input aria-label="Name" aria-describedby="error">', "no #error for <input"),
        ("<h1>Another</h1>", "2 headings"),
    ],
)
def test_a_fault_of_a_page_is_found(content: str, fault: str) -> None:
    assert [*list_faults(DOCUMENT.format("<p>Text</p>"))] == []
    assert any(one.startswith(fault) for one in list_faults(DOCUMENT.format(content)))


async def test_every_page_has_names_and_references_for_screen_readers(
    page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient
) -> None:
    found = {}
    for address in list_page_addresses(page_ids):
        response = await alice.get(address)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            found[address] = [*list_faults(response.text)]
    assert not {address: faults for address, faults in found.items() if faults}


@pytest.mark.parametrize("path", ["/boards", "/tags", "/groups"])
async def test_a_rejected_form_refers_to_its_errors(alice: httpx2.AsyncClient, path: str) -> None:
    page = await alice.post(path, data={"name": ""})
    assert page.status_code == 422
    assert re.search(r'aria-describedby="[^"]*-error', page.text)
    assert [*list_faults(page.text)] == []
