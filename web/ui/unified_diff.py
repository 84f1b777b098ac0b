"""Unified diffs as files with numbered lines.

Every line of a diff is shown: a line that has no meaning in the format is shown as it is.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from web.ui.translation import _

HUNK_HEADER = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
GIT_HEADER = "diff --git "
NO_FILE = "/dev/null"
REMOVED, ADDED, CONTEXT, OTHER = "-", "+", " ", ""


class DiffLine(NamedTuple):
    """A line of a file, with its old number if it is removed and else its new one, or another line.

    Other lines, such as headers, have no number and the sign OTHER.
    """

    number: str
    sign: str
    text: str


@dataclass
class DiffFile:
    """The lines of one file of a diff."""

    name: str
    lines: list[DiffLine] = field(default_factory=list)

    @property
    def has_changes(self) -> bool:
        """Whether there are lines of the file, not only headers."""
        return any(line.sign != OTHER for line in self.lines)


def parse_diff(diff: str, name: str) -> list[DiffFile]:
    """Parse a unified diff. `name` names its files until a header does."""
    lines = diff.split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines and all(line.endswith("\r") for line in lines):
        lines = [line[:-1] for line in lines]
    parser = _DiffParser(name)
    for at, line in enumerate(lines):
        parser.read(line, lines[at + 1] if at + 1 < len(lines) else "")
    return parser.files


def is_diff(text: str) -> bool:
    """Return whether a text looks like a unified diff."""
    return (
        bool(HUNK_HEADER.search(text))
        or text.startswith(("+", "-"))
        or ("\n+" in text or "\n-" in text)
    )


class _DiffParser:
    """Reads a diff line by line.

    Inside a hunk the line counts of its header decide what is content, so that removed lines that
    begin with `-- ` and added ones that begin with `++ ` are not taken for headers of a file.
    """

    def __init__(self, name: str) -> None:
        self.files: list[DiffFile] = []
        self._name = name
        self._old = self._new = 1  # the numbers of the next lines
        self._old_left = self._new_left = 0  # lines of the hunk that are still to come
        self._old_name: str | None = None  # of a header whose second line comes next
        self._needs_header = False  # whether a line like `diff --git` has started the file

    def read(self, line: str, following: str) -> None:
        """Read a line; `following` is the next one."""
        if self._old_name is not None:
            self._start_file(_file_name(self._old_name, line[4:]))
            self._old_name = None
        elif self._is_in_hunk(line):
            self._add_content(line)
        elif hunk := HUNK_HEADER.match(line):
            self._old, self._new = int(hunk[1]), int(hunk[3])
            self._old_left, self._new_left = int(hunk[2] or 1), int(hunk[4] or 1)
            self._add(DiffLine("", OTHER, line))
        elif line.startswith("--- ") and following.startswith("+++ "):
            self._old_name = line[4:]
        else:
            self._read_other(line)

    def _read_other(self, line: str) -> None:
        """Read a line outside of hunks that is not a header of a hunk or a file."""
        if line.startswith(("diff ", "Index: ")):
            self.files.append(DiffFile(_git_name(line)))
            self._needs_header = True
        if line.startswith((REMOVED, ADDED, CONTEXT)):
            self._add_content(line)
        else:
            self._add(DiffLine("", OTHER, line))

    def _is_in_hunk(self, line: str) -> bool:
        """Return whether a line is content of the hunk. A line that cannot be ends the hunk."""
        old, new = self._old_left > 0, self._new_left > 0
        if not old and not new:
            return False
        sign = line[:1] or CONTEXT
        if (
            (sign == REMOVED and old)
            or (sign == ADDED and new)
            or (sign == CONTEXT and old and new)
        ):
            return True
        if sign != "\\":  # "\ No newline at end of file" may stand between two lines
            self._old_left = self._new_left = 0
        return False

    def _add_content(self, line: str) -> None:
        sign = line[:1] or CONTEXT
        self._add(DiffLine(str(self._old if sign == REMOVED else self._new), sign, line[1:]))
        if sign != ADDED:
            self._old, self._old_left = self._old + 1, max(0, self._old_left - 1)
        if sign != REMOVED:
            self._new, self._new_left = self._new + 1, max(0, self._new_left - 1)

    def _add(self, line: DiffLine) -> None:
        if not self.files:
            self.files.append(DiffFile(self._name))
        self.files[-1].lines.append(line)

    def _start_file(self, name: str) -> None:
        """Start a file, or name the one that a line like `diff --git` has started."""
        if self._needs_header and not self.files[-1].has_changes:
            self.files[-1].name = name
        else:
            self.files.append(DiffFile(name))
        self._needs_header = False
        self._old = self._new = 1


def _file_name(old: str, new: str) -> str:
    """Return the name of a file from the two lines of its header."""
    old, new = old.removeprefix("a/"), new.removeprefix("b/")
    if old == NO_FILE:
        return _("%(name)s (new file)", name=new)
    if new == NO_FILE:
        return _("%(name)s (deleted)", name=old)
    return new if old == new else f"{old} → {new}"


def _git_name(line: str) -> str:
    """Return the name of the file in `diff --git a/name b/name`, or what follows the first word."""
    names = line.removeprefix(GIT_HEADER)
    half = len(names) // 2
    old, new = names[:half].removeprefix("a/"), names[half + 1 :].removeprefix("b/")
    return new if old == new and names != line else line.partition(" ")[2]
