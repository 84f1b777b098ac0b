"""Reading what a directory says: which souls it lists, and what a soul is called. Pure."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError, ParserCreate

from services.souls.rules import is_name

LONGEST_TITLE = 200  # characters
LONGEST_DESCRIPTION = 400
MOST_LISTED = 20_000  # souls of one directory
LONGEST_PLACE = 2_000  # characters of an address


class Unreadable(Exception):
    """A list of souls is not what it should be. Its text is for the log."""


class Listed(NamedTuple):
    """A soul that a directory names."""

    handle: str
    slug: str


def listed_in(sitemap: str) -> Sequence[Listed]:
    """Return the souls in a sitemap, each once: their addresses end with /souls/{handle}/{slug}.

    The hosts in it do not count. Raises Unreadable.
    """
    found = dict.fromkeys(soul for place in _places(sitemap) for soul in _soul_at(place))
    if not found:
        raise Unreadable("the sitemap lists no soul")
    if len(found) > MOST_LISTED:
        raise Unreadable(f"the sitemap lists more than {MOST_LISTED:,} souls")
    return list(found)


def described(content: str, slug: str) -> tuple[str, str]:
    """Return the title of a soul, its first heading, and what it is, its first paragraph."""
    title, paragraph = "", list[str]()
    for line in content.splitlines():
        line = line.strip()
        if not title and not paragraph and line.startswith("# "):
            title = line.removeprefix("# ").strip()
        elif line and not line.startswith("#"):
            paragraph.append(line)
        elif paragraph:
            break
    description = " ".join(paragraph)[:LONGEST_DESCRIPTION]
    return (title or named(slug))[:LONGEST_TITLE], description


def named(slug: str) -> str:
    """Return a title for a soul of which only the slug is known."""
    return slug.replace("-", " ").replace("_", " ").strip().capitalize()


def _places(sitemap: str) -> Sequence[str]:
    """Return what stands in the `loc` elements of a sitemap."""
    reader = _Reader()
    parser = ParserCreate("utf-8")  # whatever it says itself: it was decoded before
    parser.StartElementHandler = reader.starts
    parser.CharacterDataHandler = reader.says
    parser.StartDoctypeDeclHandler = reader.has_type
    try:
        parser.Parse(sitemap.encode(), True)
    except ExpatError as error:
        raise Unreadable(f"the sitemap is not XML: {error}") from error
    return reader.places


def _soul_at(place: str) -> Sequence[Listed]:
    try:
        path = urlsplit(place.strip()).path
    except ValueError:
        return []
    kind, *names = path.strip("/").split("/")
    is_soul = kind == "souls" and len(names) == 2 and all(map(is_name, names))
    return [Listed(*names)] if is_soul else []


class _Reader:
    """Hears what is in a document, from its beginning to its end."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self._is_place = False

    def starts(self, name: str, _attributes: object) -> None:
        self._is_place = name.rpartition(":")[2] == "loc"
        if self._is_place:
            self.places.append("")

    def says(self, text: str) -> None:
        if self._is_place and len(self.places[-1]) < LONGEST_PLACE:
            self.places[-1] += text

    def has_type(self, *_said: object) -> None:
        """Refuse it: where no type is declared there are no entities.

        So nothing in it can grow when it is read, or have other files read.
        """
        raise Unreadable("the sitemap has a document type")
