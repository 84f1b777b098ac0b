"""The differences between a soul and that of an agent."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from models import Agent
from web.ui.text_comparison import TextComparison
from web.ui.unified_diff import ADDED, REMOVED, DiffLine


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
    """Return the lines that differ; of texts that are too long to be compared, all lines."""
    comparison = TextComparison(old, new)
    if not comparison.is_too_long:
        return comparison.list_diff_lines()
    removed = [
        DiffLine(str(number), REMOVED, line) for number, line in enumerate(comparison.old, 1)
    ]
    added = [DiffLine(str(number), ADDED, line) for number, line in enumerate(comparison.new, 1)]
    return removed + added
