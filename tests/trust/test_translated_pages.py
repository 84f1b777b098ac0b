"""Every text of every page comes from a catalogue: the pseudo-language shows those that do not."""

import os
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import httpx2

from tests.support.marked_texts import MARK
from tests.support.page_routes import list_page_addresses
from web.ui.translation import ACCENTS, PSEUDO

SHOWN_ATTRIBUTES = {"aria-label", "aria-description", "alt", "title", "placeholder", "label"}
SHOWN_ATTRIBUTES |= {"data-busy", "data-confirm", "data-text"}
LITERAL_TAGS = {"code", "pre", "script", "style", "kbd", "datalist"}
LETTERS = re.compile(r"[A-Za-z]{2,}")
DISGUISED = re.compile(f"[{''.join(map(chr, ACCENTS.values()))}]")
"""A text from a catalogue has at least one such letter, unless it has no vowel."""

NAMES = re.compile(
    r"Mission Control|OpenClaw|GitHub|Docker|Chrome|Firefox|Safari|Edge|Linux|Windows|API|URL|JSON"
    r"|UTC|CET|HTTP|HTTPS|OIDC|SSH|SSE|TLS|IP|ID|mc_\w+|(?:https?|wss?)://\S+|\S+@\S+|[\w.-]+\.(?:md|py|sh|json)"
    r"|-----BEGIN CERTIFICATE-----|\d+(?:[.,]\d+)? ?(?:kB|MB|ms|s|min|h|d)\b"
)
"""Names and units, which are the same in every language."""

ONLY = os.environ.get("TRANSLATED_PAGES", "")
"""A part of the addresses to check, while a page is being translated."""


class TextReader(HTMLParser):
    """Collects the texts and labels of a page that neither users nor agents have written."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LITERAL_TAGS or values.get("translate") == "no" or "data-literal" in values:
            self._open.append(tag)
        elif self._open:
            self._open.append("") if tag == self._open[0] else None
        for name in SHOWN_ATTRIBUTES & values.keys():
            self._collect(values[name] or "")

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[0]:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open:
            self._collect(data)

    def _collect(self, text: str) -> None:
        own = NAMES.sub("", text).strip()
        if LETTERS.search(own) and MARK not in own and not DISGUISED.search(own):
            self.texts.add(" ".join(text.split()))


def find_untranslated(body: str) -> set[str]:
    """Return the texts of a page in the pseudo-language that are still English."""
    reader = TextReader()
    reader.feed(body)
    reader.close()
    return reader.texts


def test_a_text_that_is_not_translated_is_found() -> None:
    body = '<p title="Šàvé~~">Save <code>ls</code></p><button aria-label="Close">Šàvé~~</button>'
    assert find_untranslated(body) == {"Save", "Close"}


async def test_every_text_of_every_page_is_translated(
    page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient
) -> None:
    alice.cookies.set("mission_control_language", PSEUDO)
    left = {}
    for address in list_page_addresses(page_ids):
        if ONLY in address:
            response = await alice.get(address)
            is_page = response.headers.get("Content-Type", "").startswith("text/html")
            found = find_untranslated(response.text) if is_page else ()
            if found:
                left[address] = sorted(found)
    assert not left, "\n".join(f"{one}: {found}" for one, found in left.items())
