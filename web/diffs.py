"""A unified diff, line by line, as it is shown."""

import re

Line = tuple[str, str, str]  # number, sign, text
HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@")
MOST_LINES = 500  # of one change


def lines(diff: str) -> list[Line]:
    """Read a unified diff. What goes has the number that it had, the rest the one it will have."""
    found: list[Line] = []
    old = new = 1
    for line in diff.splitlines()[:MOST_LINES]:
        hunk = HUNK.match(line)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
        elif line.startswith(("--- ", "+++ ", "diff ", "index ", "\\ ")):
            continue
        elif line.startswith("-"):
            found.append((str(old), "-", line[1:]))
            old += 1
        else:
            sign = "+" if line.startswith("+") else " "
            found.append((str(new), sign, line[1:]))
            old, new = old + (sign == " "), new + 1
    return found
