"""The distribution of tests to processes: see docs/decisions/parallel-tests.md."""

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

REAL_GATEWAY_TESTS = "/test_real"  # these need a real gateway, which starts slowly
PAGE_TESTS = "/browser/pages/"  # these need a site with objects of every kind
BROWSER_TESTS = "/browser/"  # these share a browser and a site in each process
BROWSER_PROCESSES = 2  # that start a browser and a site: fewer than there are
SLOW_TESTS = (
    REAL_GATEWAY_TESTS,
    PAGE_TESTS,
    "/durability/",
    BROWSER_TESTS,
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
    """Assigns a file at a time to a process, and all tests that share something slow to one.

    Two processes get the tests that need a browser, as long as there are others for the rest.
    """

    def _split_scope(self, nodeid: str) -> str:
        for shared in (REAL_GATEWAY_TESTS, PAGE_TESTS):
            if shared in nodeid:
                return shared
        return super()._split_scope(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        with_browser = {
            one
            for one, files in self.assigned_work.items()
            if any(BROWSER_TESTS in file for file in files)
        }
        if node not in with_browser and len(with_browser) >= BROWSER_PROCESSES:
            other = next((file for file in self.workqueue if BROWSER_TESTS not in file), None)
            if other is not None:
                self.workqueue.move_to_end(other, last=False)
        super()._assign_work_unit(node)
