"""The souls that ship with the product, one file of Markdown each."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from services.souls.reading import described

HANDLE = "mission-control"
FOLDER = Path(__file__).parent / "library"


class Written(NamedTuple):
    """A soul of the library."""

    slug: str
    title: str
    description: str
    content: str


@cache
def written() -> Sequence[Written]:
    """Return the souls of this version of the product, by their slugs."""
    files = sorted(FOLDER.glob("*.md"))
    contents = [(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return [Written(slug, *described(content, slug), content) for slug, content in contents]


@cache
def edition() -> str:
    """Return a fingerprint of the library: it changes with every letter of it."""
    return hashlib.sha256(repr(written()).encode()).hexdigest()
