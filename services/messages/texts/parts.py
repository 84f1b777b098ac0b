"""The parts that texts are made of: labels, snippets, and fences around what others wrote."""

import re
import secrets
from collections.abc import Mapping

SHORT_SNIPPET = 500  # characters, of tasks and comments
LONG_SNIPPET = 800  # characters, of chats

FENCE = re.compile(r"^\s*-{2,}(?=\s*(BEGIN|END)\b)", re.MULTILINE | re.IGNORECASE)


def text(marker: str, *paragraphs: str) -> str:
    """Put a message together: the marker, what belongs to it, and the paragraphs that follow."""
    head, *rest = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join([f"{marker}\n{head}", *rest])


def labels(named: Mapping[str, object]) -> str:
    """Write one line for each label that has something to say."""
    lines = {name: one_line(value) for name, value in named.items() if value is not None}
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)


def one_line(value: object) -> str:
    """Write a value in one line, so that it cannot pass for another label."""
    return " ".join(str(value).split())


def snippet(value: str, most: int = SHORT_SNIPPET) -> str:
    """Return a text without the blanks around it, and cut to `most` characters if it is longer."""
    bare = value.strip()
    return bare if len(bare) <= most else f"{bare[: most - 3]}..."


def fenced(value: str) -> str:
    """Put what somebody wrote between two lines that it cannot close by itself.

    The lines carry a word that nobody knows before, and whatever looks like them is blunted.
    """
    word = secrets.token_hex(8)
    blunt = FENCE.sub("- -", value)
    return f"--- BEGIN EXTERNAL DATA {word}\n{blunt}\n--- END EXTERNAL DATA {word}"
