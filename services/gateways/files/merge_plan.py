"""Plans for files that an agent has already: what the agent has written is kept.

AGENTS.md has a part of ours and a part of the agent below one line. Goals, rules and tokens must be
correct, so our part is always written. The other files are ours until the agent changes them; then
they are not written any more.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.security.secrets import hash_token, hide_tokens
from services.gateways.files.former_files import FORMER_FILES, is_replaced
from services.gateways.files.sanitizer import END_OF_MANAGED_PART

SHARED_FILE = "AGENTS.md"  # has a part of ours and one of the agent
OWN_FILE = "MEMORY.md"  # gateways do not write it, so its content is the agent's
MAX_DIFF_LENGTH = 20_000  # characters
MAX_DIFF_LINES = 1_000  # of a compared text; twice as many take up to eight times as long
MAX_COMPARED_LENGTH = 200_000  # characters


class FileState(StrEnum):
    """How a file on a gateway differs from what we would write. The values are part of the API."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    KEPT = "kept"  # the agent has changed it, so it is not written

    @property
    def is_written(self) -> bool:
        """Whether the file is to be written."""
        return self in (FileState.NEW, FileState.CHANGED)


@dataclass(frozen=True)
class FilePlan:
    """The plan for one file: the content that it should have, and the difference to the present.

    For a kept file the diff shows what we would have written. It never shows a token.
    """

    name: str
    state: FileState
    content: str
    diff: str


def plan_files(
    ours: Mapping[str, str], present: Mapping[str, str | None], written: Mapping[str, str]
) -> list[FilePlan]:
    """Return the plans for the files of an agent.

    `present` are the contents on the gateway, `written` the digests of what we wrote last, by name.
    A present file without a digest counts as the gateway's, and is replaced. Former files that
    need no change have no plan.
    """
    return [
        _plan_file(name, text, present.get(name), written.get(name))
        for name, text in ours.items()
        if name not in FORMER_FILES or is_replaced(name, present.get(name))
    ]


def find_token(text: str | None) -> str:
    """Return the token in an AGENTS.md, or "" if there is none."""
    found = re.search(r"^AUTH_TOKEN=(.+)$", text or "", re.MULTILINE)
    return found[1].strip() if found else ""


def _plan_file(name: str, ours: str, present: str | None, written: str | None) -> FilePlan:
    if present is None:
        return FilePlan(name, FileState.NEW, ours, _diff(name, "", ours))
    # Whether the agent has changed the file since we or the gateway wrote it:
    if written is None:
        is_edited = name == OWN_FILE and bool(present.strip())
    else:
        is_edited = hash_token(present) != written
    if name == SHARED_FILE:
        # The agent's part is kept: the whole file, if our last line is missing in it.
        _, line, below = f"\n{present}".partition(f"\n{END_OF_MANAGED_PART}")
        own = below if line else present if is_edited else ""
        ours, is_edited = f"{ours}\n{own.strip()}\n" if own.strip() else ours, False
    if present == ours:
        return FilePlan(name, FileState.SAME, ours, "")
    diff = _diff(name, present, ours)
    if is_edited:
        return FilePlan(name, FileState.KEPT, present, diff)
    return FilePlan(name, FileState.CHANGED, ours, diff)


def _diff(name: str, before: str, after: str) -> str:
    """Return the difference of two texts with masked tokens; different tokens stay different.

    Texts of agents may have any length, so texts that are too long are not compared.
    """
    longest = max(before, after, key=len)
    if len(longest) > MAX_COMPARED_LENGTH:
        return f"{name} is too long to be compared: it has {len(longest):,} characters."
    old, new = hide_tokens(before).splitlines(), hide_tokens(after).splitlines()
    line_count = max(len(old), len(new))
    if line_count > MAX_DIFF_LINES:
        return f"{name} is too long to be compared: it has {line_count:,} lines."
    text = "\n".join(difflib.unified_diff(old, new, name, name, lineterm="", n=2))
    return text if len(text) <= MAX_DIFF_LENGTH else f"{text[:MAX_DIFF_LENGTH]}\n…"
