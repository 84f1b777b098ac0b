"""Tool calls of coding agents: automatic answers, and calls that are held until people decide."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from bench.dataset import API, Dataset, Scale
from bench.installation import USER
from bench.measurement import find_percentile
from bench.results import Row
from bench.server import ServerProcess, open_server
from core.config.settings import Settings
from core.db.listen import CHANNEL

CALLS_OF_AGENT, AGENTS_OF_ORGANIZATION = 50, 4  # of which calls may be held
CLIENTS = 8  # that ask at the same time
ROUNDS = 3  # the best counts: something disturbed the others
DECISIONS = 20  # one after the other
HOLD_TIMEOUT = 60.0  # seconds until all calls are held
IDLE_SECONDS = 5.0
QUIET_CPU = 0.1  # of a core, of a server that has loaded everything
AUTOMATIC_GOAL, DECISION_GOAL = 50.0, 100.0  # milliseconds of the slowest of a hundred
MEMORY_GOAL = 50.0  # kB
COUNT_HELD = "SELECT count(*) FROM tool_calls WHERE answer IS NULL AND abandoned_at IS NULL"


class HookClient:
    """A client with one connection, on which its calls are answered one after the other."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.answered_at = 0.0

    async def ask(self, tool: str, **given: str) -> str:
        """Return the answer to a call."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        body = {
            "hook_event_name": "PreToolUse",
            "session_id": "session-1",
            "cwd": "/home/dev/project",
            "tool_name": tool,
            "tool_input": given,
        }
        content = json.dumps(body).encode()
        lines = [
            "POST /hooks/claude HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self._token}",
            f"Content-Length: {len(content)}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        answer = await reader.readexactly(length)
        self.answered_at = time.perf_counter()
        assert head.startswith(b"HTTP/1.1 200"), (head, answer)
        return json.loads(answer)["hookSpecificOutput"]["permissionDecision"]

    async def time_reads(self, number: int) -> list[float]:
        """Return the milliseconds of the answers to plain reads, which the policy allows."""
        durations = []
        for _ in range(number):
            start = time.perf_counter()
            assert await self.ask("Read", file_path="/home/dev/project/README.md") == "allow"
            durations.append((self.answered_at - start) * 1000)
        return durations

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()


class HeldCalls:
    """Calls that wait on a server, and the people who decide them."""

    def __init__(
        self, server: ServerProcess, database: asyncpg.Connection, people: httpx2.AsyncClient
    ) -> None:
        self._server, self._database, self._people = server, database, people
        self._calls: defaultdict[str, dict[HookClient, asyncio.Task[str]]] = defaultdict(dict)
        # when a decision was committed, by its topic
        self._announced: defaultdict[str, asyncio.Future[float]] = defaultdict(asyncio.Future)
        self.board, self._tokens = "", [""]

    async def prepare(self, agents: int) -> None:
        """Create agents: as many organizations as their limit needs. The last one is active."""
        await self._database.add_listener(CHANNEL, self._note_announcement)
        self._tokens = []
        for number in range(agents):
            if number % AGENTS_OF_ORGANIZATION == 0:
                await self._post("/organizations", name=f"{number} on {self._server.port}")
                self.board = (await self._post("/boards", name="Held", description="x"))["id"]
            agent = await self._post("/agents", name=f"Held {number}", board_id=self.board)
            self._tokens.append(agent["token"])

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self._people.post(f"{API}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def _note_announcement(self, *notification: object) -> None:
        announced = self._announced[str(notification[-1])]
        if not announced.done():
            announced.set_result(time.perf_counter())

    async def hold(self, commands: Sequence[str], agent: int = -1) -> None:
        """Ask for calls with an agent, by default one of the last organization."""
        for command in commands:
            client = HookClient(self._server.port, self._tokens[agent])
            self._calls[command][client] = asyncio.create_task(client.ask("Bash", command=command))

    async def wait_until_held(self) -> None:
        """Wait until the server holds all calls."""
        async with asyncio.timeout(HOLD_TIMEOUT):
            while True:
                answers = [one for same in self._calls.values() for one in same.values()]
                for done in filter(asyncio.Task.done, answers):
                    raise AssertionError(f"a call was not held: {done.result()}")
                if await self._database.fetchval(COUNT_HELD) == len(answers):
                    return
                await asyncio.sleep(0.05)

    async def decide(self, command: str) -> list[float]:
        """Allow the calls of a command; return the milliseconds from the commit to each answer."""
        path = f"{API}/boards/{self.board}/approvals"
        pending = (await self._people.get(f"{path}?status=pending&limit=200")).json()["items"]
        id = next(one["id"] for one in pending if one["payload"]["input"]["command"] == command)
        answer = await self._people.patch(f"{path}/{id}", json={"status": "approved"})
        assert answer.is_success, answer.text
        calls = self._calls.pop(command)
        async with asyncio.timeout(HOLD_TIMEOUT):
            assert set(await asyncio.gather(*calls.values())) == {"allow"}
            committed = await self._announced[f"tool-decision:{id}"]  # it can arrive later
        for client in calls:
            client.close()
        return [(one.answered_at - committed) * 1000 for one in calls]

    async def close(self) -> None:
        """Close the connections of all calls, and wait until the server has noticed it."""
        for calls in self._calls.values():
            for client, answer in calls.items():
                answer.cancel()
                client.close()
        self._calls.clear()
        await self.wait_until_held()


async def measure_hooks(settings: Settings, folder: Path, data: Dataset, scale: Scale) -> list[Row]:
    """Measure automatic answers, decisions of held calls, and what held calls cost."""
    database = await asyncpg.connect(settings.dsn)
    people = httpx2.AsyncClient(timeout=60, headers=list(USER))
    async with open_server(settings, folder) as server:
        people.base_url = server.url
        rows = await _measure_automatic_answers(server, data, scale.hook_calls)
        held = HeldCalls(server, database, people)
        await held.prepare(-(-scale.held_calls // CALLS_OF_AGENT))
        rows += await _measure_decisions(held, min(CALLS_OF_AGENT, scale.held_calls))
        rows += await _measure_many(server, held, scale.held_calls)
    async with open_server(settings, folder, is_traced=True) as server:
        people.base_url = server.url
        held = HeldCalls(server, database, people)
        await held.prepare(AGENTS_OF_ORGANIZATION)
        rows.append(await _measure_objects(server, held, min(CALLS_OF_AGENT, scale.held_calls)))
    await people.aclose()
    await database.close()
    return rows


async def _measure_automatic_answers(server: ServerProcess, data: Dataset, calls: int) -> list[Row]:
    rows = []
    for tokens in (data.agent_tokens[:1], data.agent_tokens[:CLIENTS]):
        clients = [HookClient(server.port, token) for token in tokens]
        number = calls // len(clients) + 1
        rounds: list[list[float]] = []
        for _ in range(1 + ROUNDS):  # the first one is not counted
            found = await asyncio.gather(*(one.time_reads(number) for one in clients))
            rounds.append([duration for durations in found for duration in durations])
        name = f"automatic answer, {len(clients)} at a time"
        rows += _build_rows(name, rounds[1:], AUTOMATIC_GOAL)
        for client in clients:
            client.close()
    return rows


async def _measure_decisions(held: HeldCalls, equal: int) -> list[Row]:
    single = []
    for number in range(DECISIONS):
        await held.hold([f"git push origin {number}"])
        await held.wait_until_held()
        single += await held.decide(f"git push origin {number}")
    rounds = []
    for _ in range(ROUNDS):
        await held.hold(["git push"] * equal)
        await held.wait_until_held()
        rounds.append(await held.decide("git push"))
    return [
        *_build_rows("decision to the only held call", [single], DECISION_GOAL),
        *_build_rows(f"decision to {equal} equal held calls", rounds, DECISION_GOAL),
    ]


async def _measure_many(server: ServerProcess, held: HeldCalls, count: int) -> list[Row]:
    alone = await server.measure_usage(IDLE_SECONDS)
    before = await server.read_usage()
    agents = -(-count // CALLS_OF_AGENT)
    deciding = min(agents, AGENTS_OF_ORGANIZATION)  # the agents of the active organization
    singles = [f"git push origin one-of-many-{number}" for number in range(DECISIONS)]
    for number in range(agents):
        own = singles[number % deciding :: deciding] if number >= agents - deciding else []
        equal = min(CALLS_OF_AGENT, count - number * CALLS_OF_AGENT) - len(own)
        await held.hold([*own, *["git push"] * equal], number)
    await held.wait_until_held()
    opened = await server.read_usage()
    waiting = await server.measure_usage(IDLE_SECONDS)
    new = Counter(waiting.frequent) - Counter(alone.frequent)
    for text, number in new.items():
        print(f"    {number:6}  {text[:120]}", flush=True)
    delays = []
    for command in singles:
        delays += await held.decide(command)
    await held.close()
    name = f"{count:,} held calls"
    memory = (opened.memory_kb - before.memory_kb) / count
    return [
        *_build_rows(f"decision to one of {name}", [delays], DECISION_GOAL),
        Row("hooks", f"{name}: memory of the process", "kB each", memory, goal=MEMORY_GOAL),
        Row("hooks", f"{name}: at rest", "statements", sum(new.values()), goal=0.0),
    ]


async def _measure_objects(server: ServerProcess, held: HeldCalls, count: int) -> Row:
    """Measure the Python objects of held calls, with `tracemalloc`."""
    await held.hold(["git push origin warm-up"] * count, 0)
    await held.wait_until_held()
    async with asyncio.timeout(HOLD_TIMEOUT):
        while (await server.measure_usage(1)).cpu > QUIET_CPU:
            pass  # it still compiles templates, whose code is traced too
    before = await server.read_usage()
    more = AGENTS_OF_ORGANIZATION - 1
    for agent in range(1, AGENTS_OF_ORGANIZATION):
        await held.hold(["git push"] * count, agent)
    await held.wait_until_held()
    size = ((await server.read_usage()).traced_kb - before.traced_kb) / (more * count)
    await held.close()
    return Row("hooks", "a held call: objects of Python", "kB", size, goal=MEMORY_GOAL)


def _build_rows(name: str, rounds: list[list[float]], goal: float) -> list[Row]:
    """Return the median and the slowest of a hundred, each of its best round."""
    half, most = (
        min(find_percentile(durations, share) for durations in rounds) for share in (0.5, 0.99)
    )
    return [
        Row("hooks", f"{name}: p50", "ms", half),
        Row("hooks", f"{name}: p99", "ms", most, goal=goal),
    ]
