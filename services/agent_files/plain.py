"""Making plain what people and agents wrote, so that it stays in the place it is put into.

A name is one line. A longer text stands between two fences that it cannot close, since they are
longer than any in it. No value is ever rendered as a template.
"""

import re
import unicodedata

SEEN = "\t\u200c\u200d"  # besides the tab, what joins signs in some scripts and emoji
BREAKS = re.compile("\r\n|[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
LONGEST_RUN = 40  # of backticks that are kept
BACKTICKS = re.compile("`{3,}")
UNSEEN = {"Cc", "Cf", "Cs"}  # categories of Unicode: controls, and what changes how others are read

CUT = "[…]"
KEEP = "<!-- Mission Control writes all above this line anew. What you write below it is kept. -->"
"""The last line of ours in AGENTS.md. What others wrote can not pass for it."""


def line(value: object, most: int = 200) -> str:
    """Write a value in one line of at most `most` characters. A backtick becomes an apostrophe."""
    bare = " ".join(_seen(str(value)).split()).replace("`", "'")
    return cut(bare, most)


def block(value: object) -> str:
    """Return a text of several lines without what nobody sees, and without blanks around it."""
    text = BREAKS.sub("\n", str(value))
    lines = (_seen(one).rstrip() for one in text.split("\n"))
    return "\n".join(lines).strip()


def fenced(value: object, most: int) -> str:
    """Put a text between fences that it cannot close, and say so if it is cut. None is ""."""
    text = block("" if value is None else value)
    if not text:
        return ""
    whole = BACKTICKS.sub(lambda run: run[0][:LONGEST_RUN], text)
    text = cut(whole, most)
    longest = max((len(run) for run in BACKTICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    said = f"{fence}text\n{text}\n{fence}"
    return said if text == whole else f"{said}\n(It is cut: {length(whole):,} characters in all.)"


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters, with a sign where something is missing."""
    if length(text) <= most:
        return text
    room = most - length(CUT) - 1
    kept = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", errors="ignore")
    return f"{kept.rstrip()} {CUT}"


def length(text: str) -> int:
    """Return how long a text is as gateways count: a sign outside of Unicode's first plane is two.

    They are programs of JavaScript.
    """
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _seen(text: str) -> str:
    """Return a text without the characters that nobody sees, and without our own line."""
    seen = (one for one in text if one in SEEN or unicodedata.category(one) not in UNSEEN)
    return "".join(seen).replace("<!-- Mission", "<!- Mission")
