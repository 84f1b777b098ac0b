"""What becomes of the files that an agent has already: what it wrote itself is kept.

AGENTS.md is ours above one line and the agent's below it: a goal, a rule and a token must be true,
so our part is always written anew. The other files are ours until the agent changes them; from
then on they are its own.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kit.secrets import fingerprint
from services.agent_files.plain import KEEP

SHARED = "AGENTS.md"  # in which ours and the agent's stand one below the other
AGENTS_OWN = "MEMORY.md"  # no gateway writes it, so whatever is in it is the agent's
LONGEST_DIFF = 20_000  # characters
MOST_LINES = 1_000  # of a text that is compared: twice as many take up to eight times as long
LONGEST_COMPARED = 200_000  # characters
TOKEN = re.compile(r"mc_agent_[\w-]+|(?<=^AUTH_TOKEN=).+", re.MULTILINE)


class FileState(StrEnum):
    """How a file on a gateway stands to what we would write. The values are part of the API."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    KEPT = "kept"  # the agent has changed it: it stays as it is

    @property
    def is_written(self) -> bool:
        """Whether something is to be written."""
        return self in (FileState.NEW, FileState.CHANGED)


@dataclass(frozen=True)
class Planned:
    """What is to become of one file: `content` is to be in it, and `diff` is how that differs.

    Of a file that is kept the diff tells what we would have written. It never shows a token.
    """

    name: str
    state: FileState
    content: str
    diff: str


def planned(
    ours: Mapping[str, str], there: Mapping[str, str | None], written: Mapping[str, str]
) -> list[Planned]:
    """Say what is to become of the files of an agent.

    `there` is what the gateway has of them, `written` the digest of what we wrote there last, by
    name. A file that is there and is not in `written` is taken for the gateway's, and replaced.
    """
    return [_planned(name, text, there.get(name), written.get(name)) for name, text in ours.items()]


def digest(content: str) -> str:
    """Return what is remembered of what was written."""
    return fingerprint(content)


def token_in(text: str | None) -> str:
    """Return the token in an AGENTS.md, "" if there is none."""
    found = re.search(r"^AUTH_TOKEN=(.+)$", text or "", re.MULTILINE)
    return found[1].strip() if found else ""


def _planned(name: str, ours: str, there: str | None, written: str | None) -> Planned:
    if there is None:
        return Planned(name, FileState.NEW, ours, _diff(name, "", ours))
    is_edited = _is_edited(name, there, written)
    if name == SHARED:
        ours, is_edited = _joined(ours, there, is_edited), False
    if there == ours:
        return Planned(name, FileState.SAME, ours, "")
    diff = _diff(name, there, ours)
    if is_edited:
        return Planned(name, FileState.KEPT, there, diff)
    return Planned(name, FileState.CHANGED, ours, diff)


def _is_edited(name: str, there: str, written: str | None) -> bool:
    """Say whether the agent has written a file: it is not as we left it, nor as a gateway did."""
    if written is None:
        return name == AGENTS_OWN and bool(there.strip())
    return digest(there) != written


def _joined(ours: str, there: str, is_edited: bool) -> str:
    """Put what the agent wrote below our part: all of it, if it took our last line away."""
    _, line, below = f"\n{there}".partition(f"\n{KEEP}")
    own = below if line else there if is_edited else ""
    return f"{ours}\n{own.strip()}\n" if own.strip() else ours


def _diff(name: str, before: str, after: str) -> str:
    """Return how two texts differ, without the tokens in them; two tokens still look different.

    What an agent has written may be of any length: a text that is too long is not compared.
    """
    longest = max(before, after, key=len)
    if len(longest) > LONGEST_COMPARED:
        return f"{name} is too long to be compared: it has {len(longest):,} characters."
    old, new = _masked(before).splitlines(), _masked(after).splitlines()
    most = max(len(old), len(new))
    if most > MOST_LINES:
        return f"{name} is too long to be compared: it has {most:,} lines."
    text = "\n".join(difflib.unified_diff(old, new, name, name, lineterm="", n=2))
    return text if len(text) <= LONGEST_DIFF else f"{text[:LONGEST_DIFF]}\n…"


def _masked(text: str) -> str:
    return TOKEN.sub(lambda token: f"mc_agent_… ({fingerprint(token[0].strip())[:6]})", text)
