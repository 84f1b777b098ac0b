"""Sanitize texts of users and agents, so that they cannot leave their place in a file.

A name is one line. A longer text is enclosed in fences that are longer than any in it. No value is
ever rendered as a template.
"""

import re

from core.text import to_lines, to_one_line

MAX_BACKTICKS = 40  # in a row
BACKTICKS = re.compile("`{3,}")

TRUNCATION_MARK = "[…]"
END_OF_MANAGED_PART = (
    "<!-- Mission Control writes all above this line anew. What you write below it is kept. -->"
)
"""The last line of our part of AGENTS.md. Sanitized texts cannot contain it."""


def to_line(value: object, max_length: int = 200) -> str:
    """Return a value as one line of limited length, with apostrophes instead of backticks."""
    return truncate(_protect_own_line(to_one_line(str(value))).replace("`", "'"), max_length)


def to_fenced_block(value: object, max_length: int) -> str:
    """Enclose a text in fences that it cannot close, and note a truncation. None becomes "".

    Invisible characters and outer blanks are removed.
    """
    lines = _protect_own_line(to_lines("" if value is None else str(value))).split("\n")
    text = "\n".join(line.rstrip() for line in lines).strip()
    if not text:
        return ""
    whole = BACKTICKS.sub(lambda run: run[0][:MAX_BACKTICKS], text)
    text = truncate(whole, max_length)
    longest = max((len(run) for run in BACKTICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    block = f"{fence}text\n{text}\n{fence}"
    if text == whole:
        return block
    return f"{block}\n(It is cut: {utf16_length(whole):,} characters in all.)"


def truncate(text: str, max_length: int) -> str:
    """Return a text of at most `max_length` UTF-16 units, with a mark if it is truncated."""
    if utf16_length(text) <= max_length:
        return text
    room = max_length - utf16_length(TRUNCATION_MARK) - 1
    kept = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", errors="ignore")
    return f"{kept.rstrip()} {TRUNCATION_MARK}"


def utf16_length(text: str) -> int:
    """Return the length as gateways count: in UTF-16 code units, because they are JavaScript."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _protect_own_line(text: str) -> str:
    """Return a text that cannot contain our own line."""
    return text.replace("<!-- Mission", "<!- Mission")
