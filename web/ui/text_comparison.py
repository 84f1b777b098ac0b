"""Comparison of two texts line by line."""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import NamedTuple, TypeAlias

from web.ui.translation import _
from web.ui.unified_diff import ADDED, CONTEXT, OTHER, REMOVED, DiffLine

MAX_LINES = 1_000  # of each text, between its equal beginning and end; more are not compared
MAX_PAIRS = 1_000_000  # of equal lines, times the lines that both texts have; they take 50 ms
CONTEXT_LINES = 3  # equal lines around a difference
MAX_SHOWN_LINES = 50_000  # of a page; the server handles no other request while it renders them

Opcode: TypeAlias = tuple[str, int, int, int, int]


class TextRun(NamedTuple):
    """Consecutive lines of a text that are all in the other text, or all not."""

    text: str
    is_changed: bool


class TextComparison:
    """Two texts, and where their lines differ.

    They are compared when that is read first, which takes up to 50 ms.
    """

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = split_lines(old), split_lines(new)

    @cached_property
    def _compared(self) -> Sequence[Opcode] | None:
        return _compare_lines(self.old, self.new)

    @property
    def is_too_long(self) -> bool:
        """Whether there is too much to compare."""
        return self._compared is None

    @property
    def opcodes(self) -> Sequence[Opcode]:
        """The equal and different parts like those of difflib; none if the texts are too long."""
        return self._compared or ()

    @property
    def old_runs(self) -> list[TextRun]:
        """The old text; without marks if the texts are too long."""
        spans = [(kind, start, end) for kind, start, end, _, _ in self.opcodes]
        return _build_runs(self.old, spans)

    @property
    def new_runs(self) -> list[TextRun]:
        """The new text; without marks if the texts are too long."""
        spans = [(kind, start, end) for kind, _, _, start, end in self.opcodes]
        return _build_runs(self.new, spans)

    def list_diff_lines(self) -> list[DiffLine]:
        """Return the changed lines with some lines around them; none if the texts are too long."""
        lines: list[DiffLine] = []
        if self.old == self.new:
            return lines
        for kind, old_start, old_end, new_start, new_end in self.opcodes:
            if kind == "equal":
                is_last = new_end == len(self.new)
                lines += self._list_equal_lines(new_start, new_end, is_last=is_last)
                continue
            removed, added = self.old[old_start:old_end], self.new[new_start:new_end]
            lines += _number_lines(removed, REMOVED, old_start)
            lines += _number_lines(added, ADDED, new_start)
        return lines

    def _list_equal_lines(self, start: int, end: int, *, is_last: bool) -> list[DiffLine]:
        """Return the equal lines that are next to a difference."""
        before = end if is_last else max(start, end - CONTEXT_LINES)
        after = start if start == 0 else min(end, start + CONTEXT_LINES)
        if after >= before:
            return _number_lines(self.new[start : end if not is_last else after], CONTEXT, start)
        gap = [DiffLine("", OTHER, "…")]
        head = _number_lines(self.new[start:after], CONTEXT, start)
        return head + gap + _number_lines(self.new[before:end], CONTEXT, before)


def list_changes(old: str, new: str) -> Sequence[DiffLine]:
    """Return the lines that differ; all lines of texts that are too long to be compared."""
    comparison = TextComparison(old, new)
    if not comparison.is_too_long:
        return comparison.list_diff_lines()
    removed = _number_lines(comparison.old, REMOVED, 0)
    return limit_lines(removed + _number_lines(comparison.new, ADDED, 0), MAX_SHOWN_LINES)


def limit_lines(lines: Sequence[DiffLine], max_count: int) -> Sequence[DiffLine]:
    """Return the first lines, and one that says that there are more."""
    if len(lines) <= max_count:
        return lines
    return [*lines[:max_count], DiffLine("", OTHER, _("Further lines are not shown."))]


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, with line breaks as browsers submit them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if text else []


def _compare_lines(old: Sequence[str], new: Sequence[str]) -> list[Opcode] | None:
    """Return the equal and different parts like difflib, or None if there is too much to compare.

    The equal beginning and end are found first, which is enough for most edits. If there are many
    equal lines in one text, only lines that are unique are compared: the time of difflib is the
    product of both.
    """
    start = _count_equal(old, new)
    end = _count_equal(old[start:][::-1], new[start:][::-1])
    old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
    if max(len(old_middle), len(new_middle)) > MAX_LINES:
        return None
    counts = Counter(new_middle)
    pairs = sum(counts[line] for line in old_middle)
    has_many_equal = pairs * sum(line in counts for line in old_middle) > MAX_PAIRS
    repeated = {line for line, count in counts.items() if count > 1} if has_many_equal else set()
    matcher = SequenceMatcher(repeated.__contains__, old_middle, new_middle)
    parts: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    parts += [
        (kind, one + start, two + start, three + start, four + start)
        for kind, one, two, three, four in matcher.get_opcodes()
    ]
    if end:
        parts.append(("equal", len(old) - end, len(old), len(new) - end, len(new)))
    return parts


def _count_equal(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines are equal from the beginning."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _build_runs(lines: Sequence[str], spans: Sequence[tuple[str, int, int]]) -> list[TextRun]:
    if not spans:
        return [TextRun("\n".join(lines), is_changed=False)] if lines else []
    return [
        TextRun("\n".join(lines[start:end]), is_changed=kind != "equal")
        for kind, start, end in spans
        if end > start
    ]


def _number_lines(lines: Sequence[str], sign: str, start: int) -> list[DiffLine]:
    numbered = enumerate(lines, start + 1)
    return [DiffLine(str(number), sign, line) for number, line in numbered]
