"""The CPU of requests, pages and their parts."""

import time
from collections.abc import Mapping

from bench.client import Call
from bench.dataset import API, Dataset
from bench.installation import USER
from bench.measurement import CallFactory, Cost, Meter
from bench.results import Goal, Row, print_rows

RATIO = 2.0  # times the limit; the goal of reads of the API
READ_TRIPS, WRITE_TRIPS = 3, 10

GOALS: Mapping[str, Goal] = {
    "GET boards": Goal(0.6, "8.6"),
    "GET tasks?limit=50": Goal(0.9, "13.3"),
    "GET snapshot": Goal(2.3, "29.0"),
    "GET activity": Goal(1.4, "20.6 + 13"),
    "GET metrics/dashboard": Goal(1.5, "24.4 + 17"),
    "GET agents": Goal(0.8, "10.8"),
    "agent: tasks": Goal(2, "662"),
    "agent: heartbeat": Goal(0.5, "590"),
    "agent: PATCH status": Goal(4, "976"),
    "agent: comment": Goal(3, "1,216"),
    "POST task": Goal(3.5, "13.5"),
}
"""Milliseconds of CPU of the server, and the figure of the original ("+": in the database)."""

DATABASE_GOALS = {"GET activity": 1.0, "GET metrics/dashboard": 1.0}


def list_api_calls(data: Dataset) -> dict[str, CallFactory]:
    """Return the measured requests of the API by name."""
    board = f"{API}/boards/{data.board}"
    task = f"{board}/tasks/{data.tasks[0]}"
    reads = {
        "GET boards": f"{API}/boards",
        "GET board": board,
        "GET tasks?limit=50": f"{board}/tasks?limit=50",
        "GET task": task,
        "GET comments": f"{task}/comments",
        "GET snapshot": f"{board}/snapshot",
        "GET activity": f"{API}/activity?limit=200",
        "GET metrics/dashboard": f"{API}/metrics/dashboard",
        "GET approvals": f"{board}/approvals",
        "GET agents": f"{API}/agents",
    }
    cases: dict[str, CallFactory] = {
        name: (lambda _, path=path: Call("GET", path, None, USER)) for name, path in reads.items()
    }
    return cases | _list_agent_calls(data) | _list_writes(data)


def _list_agent_calls(data: Dataset) -> dict[str, CallFactory]:
    tasks = f"{API}/agent/boards/{data.board}/tasks"
    inbox = data.tasks[0]
    return {
        "agent: tasks": lambda _: Call("GET", f"{tasks}?limit=200", None, data.agent),
        "agent: hook of a plain read": lambda number: Call(
            "POST",
            "/hooks/claude",
            {
                "hook_event_name": "PreToolUse",
                "session_id": "session-1",
                "tool_use_id": f"toolu_{number}_{time.monotonic_ns()}",
                "cwd": "/home/dev/project",
                "tool_name": "Read",
                "tool_input": {"file_path": "/home/dev/project/README.md"},
            },
            data.agent,
        ),
        "agent: heartbeat": lambda _: Call("POST", f"{API}/agent/heartbeat", {}, data.agent),
        "agent: PATCH status": lambda number: Call(
            "PATCH",
            f"{tasks}/{inbox}",
            {"status": "in_progress" if number % 2 == 0 else "inbox"},
            data.agent,
        ),
        "agent: comment": lambda number: Call(
            "POST", f"{tasks}/{inbox}/comments", {"message": f"Comment {number}"}, data.agent
        ),
    }


def _list_writes(data: Dataset) -> dict[str, CallFactory]:
    tasks = f"{API}/boards/{data.board}/tasks"
    return {
        "PATCH task": lambda number: Call(
            "PATCH",
            f"{tasks}/{data.tasks[number % len(data.tasks)]}",
            {"title": f"Renamed {number} {time.monotonic_ns()}"},
            USER,
        ),
        "POST task": lambda number: Call("POST", tasks, {"title": f"New {number}"}, USER),
    }


async def measure_requests(meter: Meter, data: Dataset, only: str = "") -> list[Row]:
    """Measure the requests whose name contains `only`."""
    rows = []
    for name, factory in list_api_calls(data).items():
        if only in name:
            is_read = factory(0).method == "GET"
            rows += print_rows(_build_rows(name, await meter.measure(factory), is_read=is_read))
    return rows


def _build_rows(name: str, cost: Cost, *, is_read: bool) -> list[Row]:
    """Return the row of a request, and one of the database if there is a goal for it."""
    goal = GOALS.get(name, Goal())
    row = Row(
        section="requests",
        name=name,
        unit="ms CPU",
        ours=cost.cpu_ms,
        limit=cost.limit_ms,
        goal=goal.value,
        goal_ratio=RATIO if is_read else None,
        original=goal.original,
        statements=cost.statements,
        round_trips=cost.round_trips,
        round_trips_goal=READ_TRIPS if is_read else WRITE_TRIPS,
        details={"database_ms": cost.database_ms, "kilobytes": cost.kilobytes},
    )
    if name not in DATABASE_GOALS:
        return [row]
    database = Row("requests", f"{name}, in the database", "ms CPU", cost.database_ms)
    return [row, database.with_goal(DATABASE_GOALS[name])]


CHANGED = ", all cards changed"
CHANGE = "UPDATE tasks SET version = version + 1, title = 'Renamed ' || clock_timestamp()"
CHANGED_PAGES = ("page board", "page list")  # also measured with all cards changed before each call

PAGE_GOALS: Mapping[str, Goal] = {
    "page board": Goal(8),
    f"page board{CHANGED}": Goal(10),
    f"page list{CHANGED}": Goal(10),
    "page task": Goal(5),
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
        "page list": f"{board}?view=list",
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
            rows += print_rows(_build_page_rows(name, await meter.measure(factory)))
        if name in CHANGED_PAGES and only in f"{name}{CHANGED}":
            cost = await meter.measure(factory, CHANGE)
            rows += print_rows(_build_page_rows(f"{name}{CHANGED}", cost))
    return rows


def _build_page_rows(name: str, cost: Cost) -> list[Row]:
    goal = PAGE_GOALS.get(name, Goal())
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
