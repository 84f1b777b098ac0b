"""Which process runs which tests, and when: docs/decisions/tests-side-by-side.md."""

import pytest
from xdist.scheduler import LoadFileScheduling

REAL = "/test_real"  # what needs a real gateway, which takes long to start
LONGEST = (REAL, "/durability/", "/browser/", "/live/", "/race/", "/commands/")


def longest_first(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one."""
    kinds = len(LONGEST)
    items.sort(key=lambda item: next((n for n in range(kinds) if LONGEST[n] in item.nodeid), kinds))


class ByFile(LoadFileScheduling):
    """Gives each process a file at a time, and one of them all that need the real gateway."""

    def _split_scope(self, nodeid: str) -> str:
        return REAL if REAL in nodeid else super()._split_scope(nodeid)
