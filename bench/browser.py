"""The first board page in Chromium: first paint, script tasks while typing, layout shift."""

import shutil
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import httpx2

from bench.dataset import API, Dataset
from bench.installation import USER
from bench.results import Row
from bench.server import ServerProcess
from cli.test import BROWSERS

TASKS = 300  # of the board
LOADS = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OBSERVE = """
window.measured = {shift: 0, tasks: []};
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) measured.shift += entry.value;
}).observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) measured.tasks.push([entry.startTime, entry.duration]);
}).observe({type: 'longtask', buffered: true});
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
NAVIGATION = """(([{responseStart, responseEnd, domInteractive}]) =>
  ({response_begins: responseStart, response_ends: responseEnd, parsed: domInteractive})
)(performance.getEntriesByType('navigation'))"""
"""When the page has arrived and is parsed, in milliseconds."""

FILTER = "input[name=q]"
TYPED = "Task number 12"
SETTLE_MS = 1_500
WINDOW_MS = 2_000  # in which a new window of Chromium loads a hundred scripts of its own


@dataclass(frozen=True)
class BoardPageLoad:
    """What one load of the board took, in milliseconds."""

    paint: float
    longest_task: float  # while typing; 0 below 50
    shift: float  # without a unit
    navigation_timing: dict[str, float]


async def measure_browser(server: ServerProcess, data: Dataset) -> list[Row]:
    """Load a board and type into its filter; return no rows if there is no browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        program = None
    if program is None:
        print("    no browser, or no playwright: left out", flush=True)
        return []
    await _add_tasks(server, data)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        loads = [await _load_board(chromium, server, data) for _ in range(LOADS)]
        await chromium.close()
    best = min(loads, key=attrgetter("paint"))
    task, shift = min(one.longest_task for one in loads), min(one.shift for one in loads)
    name = f"board of {TASKS} tasks in Chromium"
    return [
        Row(
            "browser",
            f"{name}: first contentful paint",
            "ms",
            best.paint,
            goal=150,
            details=best.navigation_timing,
        ),
        Row("browser", f"{name}: longest task while typing", "ms", task, goal=50),
        Row("browser", f"{name}: layout shift", "", shift, goal=0),
    ]


async def _add_tasks(server: ServerProcess, data: Dataset) -> None:
    async with httpx2.AsyncClient(base_url=server.url, headers=list(USER), timeout=60) as client:
        for number in range(len(data.tasks), TASKS):
            body = {"title": f"Task number {number}"}
            answer = await client.post(f"{API}/boards/{data.board}/tasks", json=body)
            answer.raise_for_status()


async def _load_board(chromium: Any, server: ServerProcess, data: Dataset) -> BoardPageLoad:
    """Load a board, and type into its filter."""
    context = await chromium.new_context(viewport={"width": 1440, "height": 900})
    name, _, value = data.cookie.partition("=")
    await context.add_cookies([{"name": name, "value": value, "url": server.url}])
    page = await context.new_page()
    await page.add_init_script(OBSERVE)
    await page.wait_for_timeout(WINDOW_MS)
    await page.goto(f"{server.url}/boards/{data.board}")
    await page.wait_for_timeout(SETTLE_MS)
    paint = await page.evaluate(PAINT)
    navigation = await page.evaluate(NAVIGATION)
    start = await page.evaluate("performance.now()")
    await page.locator(FILTER).first.press_sequentially(TYPED, delay=80)
    await page.wait_for_timeout(SETTLE_MS)
    measured = await page.evaluate("measured")
    await context.close()
    typing = [duration for at, duration in measured["tasks"] if at >= start]
    return BoardPageLoad(paint, max(typing, default=0.0), measured["shift"], navigation)
