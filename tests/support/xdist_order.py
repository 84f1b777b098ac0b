"""The distribution of tests to processes: see docs/decisions/parallel-tests.md."""

import pytest
from xdist.scheduler import LoadFileScheduling

REAL_GATEWAY_TESTS = "/test_real"  # these need a real gateway, which starts slowly
PAGE_TESTS = "/browser/pages/"  # these need a site with objects of every kind
SLOW_TESTS = (
    REAL_GATEWAY_TESTS,
    PAGE_TESTS,
    "/durability/",
    "/browser/",
    "/live/",
    "/race/",
    "/cli/",
)


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Start with the slowest files, so that no process is left alone with one at the end."""
    kinds = len(SLOW_TESTS)
    items.sort(
        key=lambda item: next((n for n in range(kinds) if SLOW_TESTS[n] in item.nodeid), kinds)
    )


class FileScheduling(LoadFileScheduling):
    """Assigns a file at a time to a process, and all tests that share something slow to one."""

    def _split_scope(self, nodeid: str) -> str:
        for shared in (REAL_GATEWAY_TESTS, PAGE_TESTS):
            if shared in nodeid:
                return shared
        return super()._split_scope(nodeid)
