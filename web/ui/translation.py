"""Texts of pages in the reader's language, with gettext catalogues.

Texts are English in the code, and marked: `_("Saved")` translates at once, `N_("Saved")` only marks
a text that is translated when it is shown. Values are named: `_("%(count)d tasks", count=2)`; a
percent sign in a text is written `%%`. See docs/decisions/translation.md.
"""

import gettext as stdlib_gettext
import io
import re
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from core.text import N_ as N_

FOLDER = Path(__file__).parents[2] / "translations"
SOURCE = "en"
LANGUAGES = {"en": "English", "de": "Deutsch", "zh-Hans": "简体中文"}
"""The languages that users can choose, by BCP 47 tag, in their own names."""

PSEUDO = "en-XA"
"""Made of the English texts, 40 % longer and with accents: shows what is not translated."""

reader_language: ContextVar[str] = ContextVar("reader_language", default=SOURCE)
"""The language of the user for whom a page is rendered."""


ACCENTS = str.maketrans(
    "aeiouyncszdlrtAEIOUYNCSZDLRT",
    "àéîöûýñçšžđłřťÀÉÎÖÛÝÑÇŠŽĐŁŘŤ",
)
EXTRA_LENGTH = 0.4
PADDING = "~"
KEPT = re.compile(r"<[^<>]*>|%\(\w+\)[-+ 0-9.,]*[a-z]|%%|&\w+;")
"""Tags, placeholders, percent signs and entities."""


def disguise(text: str) -> str:
    """Return the text with accents, and 40 % longer."""
    kept = KEPT.findall(text)
    parts = [part.translate(ACCENTS) for part in KEPT.split(text)]
    joined = "".join(part + tag for part, tag in zip(parts, [*kept, ""], strict=True))
    length = sum(len(part) for part in parts)
    return f"{joined}{PADDING * round(EXTRA_LENGTH * length)}" if length else joined


class PseudoTranslations(stdlib_gettext.NullTranslations):
    """Lengthens texts and puts accents on letters, except in tags and placeholders."""

    def gettext(self, message: str) -> str:
        """Return the text, disguised."""
        return disguise(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for a number, disguised."""
        return self.gettext(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        """Return the text, disguised."""
        return self.gettext(message)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        """Return the text for a number, disguised."""
        return self.ngettext(msgid1, msgid2, n)


@cache
def load_translations(language: str) -> stdlib_gettext.NullTranslations:
    """Load the catalogue of a language when it is first used."""
    if language == PSEUDO:
        return PseudoTranslations()
    if language == SOURCE:
        return stdlib_gettext.NullTranslations()
    return _read_catalogue(FOLDER / f"{language}.po")


def _read_catalogue(path: Path) -> stdlib_gettext.GNUTranslations:
    """Read a file of gettext tools. Texts without a translation are shown in English."""
    from babel.messages.mofile import write_mo  # slow, and not needed for English
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        catalogue = read_po(file)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return stdlib_gettext.GNUTranslations(compiled)


def translate(message: str) -> str:
    """Return a text without values in the reader's language."""
    return load_translations(reader_language.get()).gettext(message) if message else ""


def translate_plural(singular: str, plural: str, number: int) -> str:
    """Return the form of a text for a number, without values."""
    return load_translations(reader_language.get()).ngettext(singular, plural, number)


def _(message: str, **values: Any) -> str:
    """Return a text in the reader's language, with its values."""
    return translate(message) % values


def ngettext(singular: str, plural: str, num: int, **values: Any) -> str:
    """Return the form of a text for a number, with its values; `num` is one of them."""
    return translate_plural(singular, plural, num) % {"num": num, **values}


def pgettext(context: str, message: str, **values: Any) -> str:
    """Return a text in a context, with its values."""
    return load_translations(reader_language.get()).pgettext(context, message) % values
