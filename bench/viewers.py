"""Many open pages of one board, and what it costs when one task is renamed."""

import asyncio
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field

import httpx2

from bench.client import BROWSER_ENCODINGS, EventStream, open_stream
from bench.dataset import API, Dataset, Scale
from bench.installation import USER, sign_in
from bench.measurement import find_percentile
from bench.results import Row
from bench.server import ServerProcess, Usage
from core.config.settings import Settings

RELOADED = re.compile(r'<[a-z][^>]*?\shx-get="([^"]*)"[^>]*?\shx-trigger="([^"]*)"')
CARDS = re.compile(r'\sdata-cards="([^"]*)"')
CARD_OF_AGENT = re.compile(r'<li [^>]*?\sdata-task="([^"]*)"[^>]*?\sdata-agent="([^"]*)"')
THROTTLE = re.compile(r"\sthrottle:([\d.]+)(ms|s)\b")
UNITS = {"ms": 1000, "s": 1}  # in a second
CARD_THROTTLE = 0.5  # seconds, as in static/parts.js
HASHES = re.compile(r'\sdata-(?:hash|keep)="([^"]*)"')
SETTLE_SECONDS = 3.0  # without an event, until what has been opened costs nothing any more
RENAME_TIMEOUT = 60.0  # seconds
RENAMES = 3
MAX_REQUESTS = 5  # at a time: a browser opens six connections, and one is the event stream
MAX_CARDS = 5  # as in static/parts.js
MAX_HASHES = 800  # in a header, as in static/known_cards.js
GOALS = {"cpu": 0.1, "statements": 270.0, "kilobytes": 150.0}


@dataclass
class OpenPage:
    """A board page like in a browser: it reloads what an event makes outdated."""

    client: httpx2.AsyncClient
    board: str
    cookie: str
    reloads: dict[str, set[str]] = field(default_factory=dict)  # paths by name of the event
    throttles: dict[str, float] = field(default_factory=dict)  # seconds between requests, by path
    requested_at: dict[str, float] = field(default_factory=dict)  # by path
    waiting: set[str] = field(default_factory=set)  # paths that will be loaded
    loading: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )  # by path
    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_REQUESTS))
    card_path: str = ""  # with {id}
    cards: dict[str, str] = field(default_factory=dict)  # agents by their tasks
    hashes: list[str] = field(default_factory=list)  # of the cards and columns that are shown
    tags: dict[str, str] = field(default_factory=dict)  # entity tag of the last answer, by path
    received: int = 0  # bytes of answers, compressed
    requests: int = 0
    expected: str = ""
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    shown_at: float = 0.0
    stream: EventStream | None = None

    async def open(self, port: int) -> None:
        """Load the page and open its event stream."""
        content = await self.load(f"/boards/{self.board}")
        for path, trigger in RELOADED.findall(content):
            self._add_triggers(path.replace("&amp;", "&"), trigger)
        if cards := CARDS.search(content):
            self.card_path = cards[1].replace("&amp;", "&")
        live = re.search(r'<body data-live="([^"]*)"', content)
        assert live, "the page has no event stream"
        headers = (("cookie", self.cookie), ("sec-fetch-site", "same-origin"))
        self.stream = await open_stream(port, live[1].replace("&amp;", "&"), headers)

    def _add_triggers(self, path: str, triggers: str) -> None:
        """Note on which events a part is loaded again, and how often at most."""
        for trigger in triggers.split(","):
            name, _, options = trigger.strip().partition(" from:body")
            if not trigger.strip().partition(" ")[2].startswith("from:body"):
                continue
            self.reloads.setdefault(name, set()).add(path)
            throttle = THROTTLE.search(options)
            seconds = float(throttle[1]) / UNITS[throttle[2]] if throttle else 0.0
            self.throttles[path] = min(seconds, self.throttles.get(path, seconds))

    async def follow(self) -> None:
        """Reload parts until the stream ends."""
        assert self.stream is not None
        async with asyncio.TaskGroup() as tasks:
            async for message in self.stream.messages():
                for path in self._find_paths(message.name, message.data) - self.waiting:
                    self.waiting.add(path)
                    tasks.create_task(self._reload(path))

    async def _reload(self, path: str) -> None:
        """Load a part when its throttle allows that."""
        earliest = self.requested_at.get(path, 0.0) + self.throttles.get(path, CARD_THROTTLE)
        await asyncio.sleep(max(0.0, earliest - time.perf_counter()))
        async with self.loading[path]:  # htmx sends the next request after the response
            self.waiting.discard(path)
            self.requested_at[path] = time.perf_counter()
            content = await self.load(path)
        if self.expected in content and not self.shown.is_set():
            self.shown_at = time.perf_counter()
            self.shown.set()

    def expect(self, text: str) -> None:
        """Note when a part that contains the text is loaded, and count from now on."""
        self.expected, self.received, self.requests = text, 0, 0
        self.shown.clear()

    def _find_paths(self, name: str, data: str) -> set[str]:
        """Return what the page reloads: parts by its own markup, or one card."""
        if name in self.reloads:
            return self.reloads[name]
        if name.startswith("agent-cards-"):
            return self._find_cards(name.removeprefix("agent-cards-"))
        card = data if name == "card" else name.removeprefix("card-")
        is_card = card != name and self.card_path != ""
        return {self.card_path.replace("{id}", card)} if is_card else set()

    def _find_cards(self, agent: str) -> set[str]:
        """Return the cards of an agent; many are loaded with their board."""
        cards = [task for task, assignee in self.cards.items() if assignee == agent]
        if len(cards) > MAX_CARDS or not self.card_path:
            return self.reloads["agent-cards"] if cards else set()
        return {self.card_path.replace("{id}", card) for card in cards}

    async def load(self, path: str) -> str:
        """Return the content of a page or a part of it."""
        is_board = path.partition("?")[0].endswith(f"/{self.board}/columns")
        async with (
            self.connections,
            self.client.stream("GET", path, headers=self._headers(path)) as response,
        ):
            content = (await response.aread()).decode()
            self.received += response.num_bytes_downloaded
        self.requests += 1
        if tag := response.headers.get("etag"):
            self.tags[path] = tag
        if is_board or path == f"/boards/{self.board}":
            self.hashes = HASHES.findall(content) or self.hashes
            self.cards |= dict(CARD_OF_AGENT.findall(content))
        return content

    def _headers(self, path: str) -> dict[str, str]:
        """Return the headers that the browser and the scripts of the page send."""
        headers = {
            "cookie": self.cookie,
            "accept-encoding": BROWSER_ENCODINGS,
            "sec-fetch-site": "same-origin",
        }
        if path != f"/boards/{self.board}":
            headers["hx-request"] = "true"
        if path.partition("?")[0].endswith("/columns"):
            headers["board-cards"] = ",".join(self.hashes[:MAX_HASHES])
        if path in self.tags:
            headers["if-none-match"] = self.tags[path]
        return headers


async def open_pages(
    client: httpx2.AsyncClient, server: ServerProcess, settings: Settings, board: str, count: int
) -> tuple[list[OpenPage], list[asyncio.Task[None]]]:
    """Open pages, each of another session, and follow their streams."""
    pages = [OpenPage(client, board, cookie) for cookie in await sign_in(settings, count)]
    for page in pages:
        await page.open(server.port)
    return pages, [asyncio.create_task(page.follow()) for page in pages]


async def measure_viewers(
    server: ServerProcess, settings: Settings, data: Dataset, scale: Scale
) -> list[Row]:
    """Measure what one renamed task costs while many pages show it."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        pages, tasks = await open_pages(client, server, settings, data.board, scale.viewers)
        await asyncio.sleep(SETTLE_SECONDS)
        idle = await _measure_pause(server)
        rounds = [await _rename(client, server, pages, data, n) for n in range(RENAMES)]
        for page in pages:
            if page.stream:
                page.stream.close()
        await asyncio.gather(*tasks)
    used, received, requests, shown = min(rounds, key=lambda one: one[0].cpu)
    statements = max(0.0, used.statements - idle.statements)
    details = {
        "requests": requests,
        "round_trips": max(0.0, used.round_trips - idle.round_trips),
        "idle_statements": idle.statements,
        "last_page_ms": max(shown),
        "p50_ms": find_percentile(shown, 0.5),
    }
    name = f"{scale.viewers} open pages, one task renamed"
    cpu = max(0.0, used.cpu - idle.cpu)
    return [
        Row("viewers", f"{name}: CPU", "s", cpu, goal=GOALS["cpu"], details=details),
        Row("viewers", f"{name}: statements", "", statements, goal=GOALS["statements"]),
        Row("viewers", f"{name}: answers", "kB", received / 1000, goal=GOALS["kilobytes"]),
    ]


async def _measure_pause(server: ServerProcess) -> Usage:
    """Return what the open pages cost without an event, in the time that a rename is observed."""
    before = await server.read_usage()
    await asyncio.sleep(SETTLE_SECONDS)
    return (await server.read_usage()).subtract(before)


async def _rename(
    client: httpx2.AsyncClient,
    server: ServerProcess,
    pages: list[OpenPage],
    data: Dataset,
    number: int,
) -> tuple[Usage, int, int, list[float]]:
    """Rename a task, and wait until all pages show the new title and are quiet."""
    title = f"Renamed for all {number}"
    for page in pages:
        page.expect(title)
    before, start = await server.read_usage(), time.perf_counter()
    path = f"{API}/boards/{data.board}/tasks/{data.tasks[0]}"
    renamed = await client.patch(path, json={"title": title}, headers=list(USER))
    assert renamed.status_code == 200, renamed.text
    async with asyncio.timeout(RENAME_TIMEOUT):
        for page in pages:
            await page.shown.wait()
    await asyncio.sleep(max(1.0, start + SETTLE_SECONDS - time.perf_counter()))
    used = (await server.read_usage()).subtract(before)
    shown = [(page.shown_at - start) * 1000 for page in pages]
    return used, sum(p.received for p in pages), sum(p.requests for p in pages), shown
