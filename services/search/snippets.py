"""Snippets: the part of a text around its first match, and the parameters of every search."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, func

from core.db.full_text import TextPart, format_tsquery, highlight_matches, is_unspaced

SNIPPET_LENGTH = 240  # characters
SNIPPET_LEAD = 60  # characters of a snippet before the first match
ELLIPSIS = "…"


def term_parameters(terms: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a statement that searches these words."""
    return {
        "tsquery": format_tsquery(terms),
        "pattern": _build_pattern(terms),
    }


def _build_pattern(terms: Sequence[str]) -> str:
    """Build a pattern of PostgreSQL for the first match: the beginning of a word, or unspaced."""
    spaced = [term for term in terms if not is_unspaced(term)]
    unspaced = [term for term in terms if is_unspaced(term)]
    beginnings = [f"(?<![[:alnum:]])({'|'.join(spaced)})"] if spaced else []
    return "|".join([*beginnings, *unspaced])


def rank_order(found: Any) -> tuple[Any, ...]:
    """Return the order of results: the best first, then the newest."""
    return found.c.rank.desc(), found.c.at.desc(), found.c.id


def select_snippet(text: Any) -> tuple[ColumnElement[int], ColumnElement[str]]:
    """Select the start of a snippet, as `start`, and its text, as `piece`."""
    start = func.greatest(_first_hit_position(text) - SNIPPET_LEAD, 1)
    piece = func.substr(text, start, SNIPPET_LENGTH + 1)
    return start.label("start"), piece.label("piece")


def _first_hit_position(text: Any) -> ColumnElement[int]:
    """Select the position of the first word that starts with one of the terms; 0 if none does."""
    return func.regexp_instr(text, bindparam("pattern", type_=String), 1, 1, 0, "i")


def build_snippet(piece: str | None, start: int | None, terms: Sequence[str]) -> list[TextPart]:
    """Format a piece of text as one line of whole words, with an ellipsis where it was cut."""
    piece, before, after = piece or "", "", ""
    if len(piece) > SNIPPET_LENGTH:
        piece, after = piece[:SNIPPET_LENGTH].rpartition(" ")[0] or piece[:SNIPPET_LENGTH], ELLIPSIS
    if start is not None and start > 1:
        piece, before = piece[piece[:SNIPPET_LEAD].find(" ") + 1 :], ELLIPSIS
    return highlight_matches(before + " ".join(piece.split()) + after, terms)
