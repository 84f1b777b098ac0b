"""The differences between a soul and that of an agent."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from models import Agent
from web.ui.text_comparison import TextComparison
from web.ui.translation import _
from web.ui.unified_diff import ADDED, OTHER, REMOVED, DiffLine

MAX_SHOWN_LINES = 50_000  # of a page; the server handles no other request while it renders them


@dataclass(frozen=True)
class SoulComparison:
    """What changes if an agent gets a soul. Without lines it has this soul already."""

    agent: Agent
    lines: Sequence[DiffLine]
    digest: str  # of both texts, so that nothing is applied that was not shown


def compare_souls(agent: Agent, content: str) -> SoulComparison:
    """Compare a soul with the present one of an agent."""
    old, new = agent.soul_template or "", content.strip()
    return SoulComparison(agent, list_changes(old, new), digest_texts(old, new))


def digest_texts(old: str, new: str) -> str:
    """Return a hash of two texts."""
    return hashlib.sha256(json.dumps([old, new]).encode()).hexdigest()


def list_changes(old: str, new: str) -> Sequence[DiffLine]:
    """Return the lines that differ; all lines of texts that are too long to be compared."""
    comparison = TextComparison(old, new)
    if not comparison.is_too_long:
        return comparison.list_diff_lines()
    removed = [
        DiffLine(str(number), REMOVED, line) for number, line in enumerate(comparison.old, 1)
    ]
    added = [DiffLine(str(number), ADDED, line) for number, line in enumerate(comparison.new, 1)]
    return limit_lines(removed + added, MAX_SHOWN_LINES)


def limit_lines(lines: Sequence[DiffLine], max_count: int) -> Sequence[DiffLine]:
    """Return the first lines, and one that says that there are more."""
    if len(lines) <= max_count:
        return lines
    return [*lines[:max_count], DiffLine("", OTHER, _("Further lines are not shown."))]
