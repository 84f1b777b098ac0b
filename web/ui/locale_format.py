"""Dates, numbers and errors in the language of the reader.

English is formatted here. Babel knows the other languages; it is imported when one of them is first
used, which takes 0.1 s. The pseudo-language is English.
"""

from contextvars import ContextVar
from datetime import date
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from core.errors import TRY_AGAIN, AppError, TooMany, fill_in
from web.ui.translation import PSEUDO, SOURCE, reader_language, translate

if TYPE_CHECKING:
    from babel import Locale


reader_tag: ContextVar[str] = ContextVar("reader_tag", default="")
"""The language that the browser prefers, with its region, like en-US."""

reader_command_key: ContextVar[str] = ContextVar("reader_command_key", default="Ctrl ")
"""How the keyboard of the reader names the key for commands, to be followed by another key."""

ENGLISH_DATES = {
    "MMMd": "{0.day} {0:%b}",
    "yMMMd": "{0.day} {0:%b} {0.year}",
    "yMMMEd": "{0:%a} {0.day} {0:%b %Y}",
    "MMMMEEEEd": "{0:%A} {0.day} {0:%B}",
    "yMMMMEEEEd": "{0:%A} {0.day} {0:%B} {0.year}",
    "yMMMMd": "{0.day} {0:%B %Y}",
}
"""Formats of English dates by the skeletons of Unicode, UTS 35, "Date Format Patterns"."""

TIME_SKELETON = "Hm"
ENGLISH_PARTS = {
    TIME_SKELETON: "{0:%H:%M}",
    "E": "{0:%a}",
    "d": "{0.day}",
    "MMM": "{0:%b}",
    "yMMM": "{0:%b %Y}",
    "yMMMM": "{0:%B} {0.year}",
}
"""Formats of times, weekdays and months by their skeletons."""


def format_date(day: date, skeleton: str) -> str:
    """Format a date or a local time; the skeleton is one of ENGLISH_DATES or ENGLISH_PARTS."""
    language = reader_language.get()
    if skeleton == TIME_SKELETON:
        return _format_in_language(language, skeleton, day)
    return _format_day_once(language, skeleton, date(day.year, day.month, day.day))


@lru_cache(2_000)  # pages show few different dates
def _format_day_once(language: str, skeleton: str, day: date) -> str:
    return _format_in_language(language, skeleton, day)


def _format_in_language(language: str, skeleton: str, day: date) -> str:
    locale = _find_locale(language)
    if locale is None:
        pattern = ENGLISH_DATES.get(skeleton) or ENGLISH_PARTS[skeleton]
        return translate(pattern.format(day))  # the pseudo-language changes it
    from babel.dates import format_skeleton

    return format_skeleton(skeleton, day, locale=locale)


def format_number(number: float) -> str:
    """Format a number with separators of thousands, and decimals if it has any: "1,234.5"."""
    number = int(number) if number % 1 == 0 else number
    locale = _find_locale(reader_language.get())
    if locale is None:
        return f"{number:,}"
    from babel.numbers import format_decimal

    return format_decimal(number, locale=locale, decimal_quantization=False)


def find_first_weekday() -> int:
    """Return the weekday on which weeks begin for the reader, 0 for Monday.

    It depends on the region that the browser names; without one, on the language.
    """
    language, accepted = reader_language.get(), reader_tag.get()
    is_same = language.partition("-")[0] == accepted.lower().partition("-")[0]
    return _first_weekday(accepted if is_same else language)


@lru_cache(100)
def _first_weekday(tag: str) -> int:
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(tag, sep="-").first_week_day
    except (UnknownLocaleError, ValueError):
        return 0


@cache
def _find_locale(language: str) -> "Locale | None":
    """Return the conventions of a language; None for English."""
    if language in (SOURCE, PSEUDO):
        return None
    from babel import Locale

    return Locale.parse(language, sep="-")


def describe_error(error: AppError) -> str:
    """Return the text of an error in the reader's language. The API shows the English message."""

    def format_value(value: object) -> str:
        return format_number(value) if isinstance(value, int | float) else str(value)

    described = fill_in(translate(error.text), error.details, format_value)
    if isinstance(error, TooMany):
        described += " " + fill_in(translate(TRY_AGAIN), {"seconds": error.retry_after})
    return described
