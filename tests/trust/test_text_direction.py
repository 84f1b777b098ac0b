"""Texts of users and agents have their own direction, also where the page has another one."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import httpx2

from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.marked_texts import MARK
from tests.support.page_routes import choose_representative_addresses
from tests.trust.test_xss import answer_with, read_pages

VOID = {"input", "br", "hr", "img", "meta", "link", "use", "rect", "path", "source", "wbr", "col"}
UNSTYLED = {"title", "option", "datalist"}
"""Elements whose texts the browser shows by itself."""
TEXT_TYPES = {"text", "search"}


class DirectionReader(HTMLParser):
    """Collects marked texts and text boxes for which nothing sets dir="auto"."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._open: list[tuple[str, bool]] = []  # the elements around, and whether they isolate

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        isolates = tag == "bdi" or values.get("dir") == "auto"
        is_box = tag == "textarea" or (tag == "input" and values.get("type") in TEXT_TYPES)
        if is_box and not isolates:
            self.found.add(f"<{tag} name={values.get('name')}>")
        if tag not in VOID:
            self._open.append((self._describe(tag, values), isolates))

    def handle_endtag(self, tag: str) -> None:
        if tag in {name.split(".")[0] for name, _ in self._open}:
            while self._open.pop()[0].split(".")[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if MARK not in data or any(isolates for _, isolates in self._open):
            return
        names = [name for name, _ in self._open]
        if not UNSTYLED & {name.split(".")[0] for name in names}:
            self.found.add(f"{' '.join(names[-3:])}: {' '.join(data.split())[:80]}")

    @staticmethod
    def _describe(tag: str, values: Mapping[str, str | None]) -> str:
        return ".".join([tag, *(values.get("class") or "").split()])


def find_undirected(body: str) -> set[str]:
    reader = DirectionReader()
    reader.feed(body)
    reader.close()
    return reader.found


def test_a_text_without_a_direction_is_found() -> None:
    fine = f'<title>{MARK}</title><p dir="auto"><b>{MARK}</b></p><p>By <bdi>{MARK}</bdi><br>.</p>'
    assert find_undirected(fine) == set()
    assert find_undirected(f"{fine}<p>By {MARK}</p><textarea>") == {
        f"p: By {MARK}",
        "<textarea name=None>",
    }


async def test_every_text_of_users_and_agents_has_its_own_direction(
    page_ids: Mapping[str, Sequence[Any]],
    alice: httpx2.AsyncClient,
    fake_gateway: FakeAgentsGateway,
) -> None:
    answer_with(fake_gateway, MARK)
    pages = await read_pages(alice, choose_representative_addresses(page_ids))
    left: dict[str, str] = {}
    for address, body in pages.items():
        left |= dict.fromkeys(find_undirected(body), address)
    assert not left, "\n".join(f"{text}    {address}" for text, address in sorted(left.items()))
