"""The distribution of tests to processes: see docs/decisions/parallel-tests.md."""

import pytest
from xdist.scheduler import LoadFileScheduling

REAL_GATEWAY_TESTS = "/test_real"  # these need a real gateway, which starts slowly
SLOW_TESTS = (REAL_GATEWAY_TESTS, "/durability/", "/browser/", "/live/", "/race/", "/cli/")


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Start with the slowest files, so that no process is left alone with one at the end."""
    kinds = len(SLOW_TESTS)
    items.sort(
        key=lambda item: next((n for n in range(kinds) if SLOW_TESTS[n] in item.nodeid), kinds)
    )


class FileScheduling(LoadFileScheduling):
    """Assigns a file at a time to a process, and all tests with the real gateway to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return REAL_GATEWAY_TESTS if REAL_GATEWAY_TESTS in nodeid else super()._split_scope(nodeid)
