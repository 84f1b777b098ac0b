"""The beginnings of texts in Markdown without their formatting."""

import html
import re

ESCAPE = r"\\([!-/:-@\[-`{-~])"
ADDRESS = r"<((?:https?://|mailto:)[^\s<>]++)>"
RULE = r"^[-*_=|: \t]{3,}+$"  # also the line below a heading, and below the header of a table
CODE_FENCE = r"^[ \t]*+(?:```|~~~).*$"
MARKER = r"(?:#{1,6}|\d{1,9}[.)]|[-*+](?:[ \t]++\[[ xX]\])?)(?=[ \t])"  # of a heading, of a list
LINE_START = rf"^(?:[ \t]*+(?:>|{MARKER}))++"
LINK_START = r"!?\[(?=[^\[\]\n]*+\]\()"
LINK_END = r"\]\([^()\s]*+(?: \"[^\"\n]*+\")?\)"
EMPHASIS = r"\*\*++|__++|~~|`++|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)"
FORMATTING = re.compile(
    "|".join(
        (
            ESCAPE,
            ADDRESS,
            RULE,
            CODE_FENCE,
            LINE_START,
            LINK_START,
            LINK_END,
            EMPHASIS,
        )
    ),
    re.MULTILINE,
)
"""The formatting of Markdown; the groups are what stays of an escape and of an address."""


def excerpt_markdown(text: str, length: int = 200) -> str:
    """Return the beginning of a text in Markdown on one line, without its formatting.

    The text is not parsed: lists have an excerpt in each row. The result is no HTML.
    """
    shown = FORMATTING.sub(lambda found: found[1] or found[2] or "", text[: 4 * length])
    plain = " ".join(html.unescape(shown).split())
    return plain if len(plain) <= length else f"{plain[:length].rstrip()}…"
