"""The CPU of pages and of their parts, compressed as for a browser."""

from collections.abc import Mapping

from bench.client import Call
from bench.dataset import Dataset
from bench.measurement import CallFactory, Cost, Meter
from bench.results import Goal, Row, print_rows

GOALS: Mapping[str, Goal] = {
    "page board": Goal(8),
    "fragment columns": Goal(5),
    "fragment card": Goal(1.5),
    "page approvals": Goal(8),
}
"""Milliseconds of CPU. The original renders its pages in the browser."""

WIRE_GOALS = {"page board": 25.0}  # kB
STATEMENT_GOALS = {"page board": 12, "page approvals": 6}


def list_page_calls(data: Dataset) -> dict[str, CallFactory]:
    """Return the measured pages and fragments by name."""
    board = f"/boards/{data.board}"
    pages = {
        "page board": board,
        "fragment columns": f"{board}/columns",
        "fragment card": f"{board}/cards/{data.tasks[0]}",
        "page task": f"{board}/tasks/{data.tasks[0]}",
        "fragment task": f"{board}/tasks/{data.tasks[0]}",
        "page approvals": "/approvals",
        "page boards": "/boards",
        "page agents": "/agents",
        "page activity": "/activity",
    }
    return {
        name: (lambda _, name=name, path=path: Call("GET", path, None, _headers(data, name)))
        for name, path in pages.items()
    }


def _headers(data: Dataset, name: str) -> tuple[tuple[str, str], ...]:
    is_fragment = name.startswith("fragment")
    return (*data.session, ("hx-request", "true")) if is_fragment else data.session


async def measure_pages(meter: Meter, data: Dataset, only: str = "") -> list[Row]:
    """Measure the pages whose name contains `only`."""
    rows = []
    for name, factory in list_page_calls(data).items():
        if only in name:
            rows += print_rows(_build_rows(name, await meter.measure(factory)))
    return rows


def _build_rows(name: str, cost: Cost) -> list[Row]:
    goal = GOALS.get(name, Goal())
    row = Row(
        section="pages",
        name=name,
        unit="ms CPU",
        ours=cost.cpu_ms,
        limit=cost.limit_ms,
        goal=goal.value,
        original=goal.original,
        statements=cost.statements,
        round_trips=cost.round_trips,
        round_trips_goal=STATEMENT_GOALS.get(name),
        details={
            "database_ms": cost.database_ms,
            "kilobytes": cost.kilobytes,
            "wire_kilobytes": cost.wire_kilobytes,
        },
    )
    if name not in WIRE_GOALS:
        return [row]
    wire = Row("pages", f"{name}, on the wire", "kB", cost.wire_kilobytes)
    return [row, wire.with_goal(WIRE_GOALS[name])]
