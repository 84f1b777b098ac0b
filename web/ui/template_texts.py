"""The functions with which templates translate texts.

They are those of `web/ui/translation.py`, except that texts are markup and values are escaped. The
functions of Jinja's own extension do the same at five times the cost.
"""

from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from web.ui import translation
from web.ui.translation import reader_language

MAX_TEXTS = 8_000  # about 3 MB


def translate_markup(message: str, /, **values: Any) -> Markup:
    """Return a text in the reader's language."""
    text = _load_text(reader_language.get(), message)
    return _insert(text, values) if values else text


def translate_markup_plural(singular: str, plural: str, num: int, /, **values: Any) -> Markup:
    """Return the form of a text for a number, which is the value `num`."""
    text = translation.translate_plural(singular, plural, num)
    return _insert(text, {"num": num, **values})


def translate_markup_in_context(context: str, message: str, /, **values: Any) -> Markup:
    """Return a text in a context."""
    text = _load_text_in_context(reader_language.get(), context, message)
    return _insert(text, values) if values else text


TEMPLATE_TEXTS: dict[str, Any] = {
    "_": translate_markup,
    "ngettext": translate_markup_plural,
    "pgettext": translate_markup_in_context,
}
"""The functions by the names that templates and the extraction use."""


@lru_cache(MAX_TEXTS)
def _load_text(language: str, message: str) -> Markup:
    """Return a text; without values it is complete."""
    text = translation.load_translations(language).gettext(message) if message else ""
    return Markup(text if "%(" in text else text % {})  # noqa: S704 (catalogues are trusted)


@lru_cache(MAX_TEXTS)
def _load_text_in_context(language: str, context: str, message: str) -> Markup:
    """Return a text in a context; without values it is complete."""
    text = translation.load_translations(language).pgettext(context, message)
    return Markup(text if "%(" in text else text % {})  # noqa: S704 (catalogues are trusted)


def _insert(text: str, values: dict[str, Any]) -> Markup:
    escaped = {name: _escape(value) for name, value in values.items()}
    return Markup(str.__mod__(str(text), escaped))  # noqa: S704 (the values are escaped)


def _escape(value: Any) -> Any:
    return value if isinstance(value, int | float) else escape(value)
