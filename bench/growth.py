"""How the time and size of every read and page depend on the amount of data.

Each is sent in turn to a database with little data and full pages, and to one with much more.
"""

import gc
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import asyncpg
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.client import BROWSER_ENCODINGS, Call, Client
from bench.dataset import API, Scale
from bench.installation import EMPTY, DatabaseServer, open_client
from bench.results import Row, print_rows
from core.config.settings import Settings
from tests.support.board_rows import make_task
from tests.support.every_read import Read, list_reads
from tests.support.large_dataset import create_many_of_everything
from tests.support.marked_objects import collect_page_ids
from tests.support.row_copies import PAST, WORK, Values, multiply_rows
from tests.support.stored_world import store_world

MAX_GROWTH = 1.5  # of the time
MAX_KILOBYTES = 30.0  # more on the wire
SIMILAR_SIZE = 1.2  # of two answers with as many rows
UNIT = "x the time"
CALLS = 5  # the fastest counts: something disturbed the others
MAX_ROUNDS = 5  # of so many calls, while the large database seems to be slower
SMALL = "growth"
FULL_LISTS = 10  # times the small database: lists of one object have few rows there
STRUCTURE = 10  # boards, agents, people, tags and so on of the small database
MATCHES = "ranks and counts all matches, and there are as many times more"
NOT_FLAT: Mapping[str, str] = {
    f"GET {API}/boards/{{id}}/snapshot": "contains all tasks of the board, by the contract",
    **dict.fromkeys((f"GET {API}/search?q={word}" for word in ("task", "xssmark")), MATCHES),
    **dict.fromkeys(
        ("/search?q=xssmark", "/search?q=xssmark&status=done"),
        "ranks and counts up to 10,000 matches of each kind",
    ),
    "/search/suggestions?q=xssmark": "ranks up to 2,000 matches of each section",
    f"GET {API}/boards/{{id}}/webhooks/{{id}}/payloads": (
        "counts the payloads of a webhook, of which 10,000 are kept, by the contract"
    ),
    **dict.fromkeys(
        (
            f"GET {API}/agents",
            f"GET {API}/agent/agents",
            f"GET {API}/agents/{{id}}/grants",
            f"GET {API}/agents/{{id}}/sessions",
            f"GET {API}/gateway-requests",
        ),
        "counts all rows of the list, by the contract",
    ),
    f"GET {API}/unread": "counts what is unread of the last 30 days, by the contract",
    **dict.fromkeys(
        (
            f"GET {API}/metrics/dashboard",
            *("/dashboard", "/dashboard?range=1y", "/dashboard?chart=time", "/dashboard/figures"),
        ),
        "sums the counters of every board, 1 ms for 1,000, and the cycle times of a week",
    ),
    "/dashboard/summary": "reads the row of every agent, 2 ms for 10,000, but computes few states",
    **dict.fromkeys(
        ("/boards/{id}/agents-panel", "/boards/{id}/pauses"),
        "looks in the rows of all agents for those that are held, 1 ms for 10,000",
    ),
    **dict.fromkeys(
        ("/pick/boards", "/pick/changeable-boards", "/pick/program-boards"),
        "counts up to 1,000 boards, and sorts those of one name, as all copies are: 3 ms for 1,000",
    ),
    f"GET {API}/questions": "reads the newest questions of each board, 6 blocks for a board",
    **dict.fromkeys(
        ("/", "/welcome/agent", "/approvals/rows"),
        "reads little but the boards of the member: 50 to 300 blocks more for 1,000",
    ),
    "/boards/{id}/trash": (
        "reads the deletions of all tasks where a few tasks have most events, as the copies have"
    ),
}
"""Reads that may grow linearly, and the reason."""


@dataclass(frozen=True)
class Dimension:
    """What there is much of, and the rows that are copied for it."""

    description: str
    roots: Mapping[str, str]
    factor: int
    full_factor: int = 1  # fills the pages that list what there are few of
    changed: Values = field(default_factory=dict)


def list_dimensions(scale: Scale, events: int) -> dict[str, Dimension]:
    """Return the dimensions by name; `events` is the number of those in the small database.

    What is copied for a dimension are ten agents, one board or one organization.
    """
    many, full = scale.factor * STRUCTURE, scale.page
    return {
        "data": Dimension(f"{scale.factor} x the data", WORK, scale.factor, FULL_LISTS, PAST),
        "boards": Dimension(f"{many:,} boards", {"boards": "name = 'Garden'"}, many, full),
        "agents": Dimension(
            f"{scale.many_agents:,} agents",
            {"agents": "name LIKE 'Agent %'"},
            scale.many_agents // STRUCTURE,
            full // STRUCTURE,
        ),
        "organizations": Dimension(
            f"{many:,} organizations", {"organizations": "name = 'Plover'"}, many
        ),
        "events": Dimension(
            f"{scale.events:,} events",
            {"activity_events": "true"},
            -(-scale.events // events),
            FULL_LISTS,
        ),
    }


async def measure_growth(server: DatabaseServer, scale: Scale, choice: str) -> list[Row]:
    """Measure all reads in all dimensions, or those of `choice`: `dimension:word`."""
    name, _, word = choice.partition(":")
    small = await server.copy_database(EMPTY, SMALL)
    reads = [read for read in await _fill_small(small, scale) if word in read.name]
    connection = await asyncpg.connect(small.dsn)
    events = await connection.fetchval("SELECT count(*) FROM activity_events")
    await connection.close()
    rows = []
    for key, dimension in list_dimensions(scale, events).items():
        if name in ("", key):
            rows += await _measure_dimension(server, dimension, reads)
    await server.drop_database(SMALL)
    return rows


async def _fill_small(small: Settings, scale: Scale) -> list[Read]:
    """Fill the small database, whose pages of work are full, and return all reads."""
    engine = create_async_engine(small.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    world = await store_world(transaction)
    async with transaction() as session:
        objects, rows = await create_many_of_everything(session, world, STRUCTURE)
        session.add_all([make_task(world.garden, f"Plant {number}") for number in range(3)])
    await engine.dispose()
    await multiply_rows(small, WORK, -(-scale.page // STRUCTURE) + 1, PAST)
    return list_reads(objects, collect_page_ids(world, objects.gateway, rows))


async def _measure_dimension(
    server: DatabaseServer, dimension: Dimension, reads: Sequence[Read]
) -> list[Row]:
    factors = {"small": 1, "full": dimension.full_factor, "large": dimension.factor}
    if dimension.full_factor == 1:
        del factors["full"]
    async with AsyncExitStack() as stack:
        clients = {}
        for name, factor in factors.items():
            settings = await server.copy_database(SMALL, f"growth_{name}")
            stack.push_async_callback(server.drop_database, f"growth_{name}")
            await multiply_rows(settings, dimension.roots, factor, dimension.changed)
            clients[name] = await stack.enter_async_context(open_client(settings))
        gc.collect()
        gc.freeze()
        rows = [
            row
            for read in reads
            for row in _build_rows(dimension, read, await _measure_in_turn(clients, read))
        ]
        gc.unfreeze()
    slowest = max(row.ours for row in rows if row.unit == UNIT and row.goal is not None)
    slow = sum(row.is_reached is False for row in rows)
    name = f"{dimension.description}: slowest of {len(reads)} reads and pages, {slow} not flat"
    return [Row("growth", name, UNIT, slowest, goal=MAX_GROWTH), *rows]


@dataclass
class Answers:
    """The answers of one database to a request."""

    milliseconds: float  # of the fastest
    size: int  # bytes
    wire_size: int


async def _measure_in_turn(clients: Mapping[str, Client], read: Read) -> dict[str, Answers]:
    """Return the answers of each database; all meet the same load of the machine."""
    plain = Call("GET", read.address, None, read.headers)
    packed = replace(plain, headers=(*read.headers, ("accept-encoding", BROWSER_ENCODINGS)))
    answers = {}
    for name, client in clients.items():
        size = len((await client.send(plain)).body)
        answers[name] = Answers(math.inf, size, len((await client.send(packed)).body))
    for _ in range(MAX_ROUNDS):
        for name, client in CALLS * [*clients.items()]:
            began = time.perf_counter()
            await client.send(packed)
            milliseconds = (time.perf_counter() - began) * 1000
            answers[name].milliseconds = min(answers[name].milliseconds, milliseconds)
        is_flat = answers["large"].milliseconds <= MAX_GROWTH * answers["small"].milliseconds
        if is_flat or read.name in NOT_FLAT:
            break
    return answers


def _build_rows(dimension: Dimension, read: Read, answers: Mapping[str, Answers]) -> list[Row]:
    """Compare with the small database, or with the full one if the small one fills no page."""
    before, full, after = (answers.get(name) for name in ("small", "full", "large"))
    assert before is not None
    assert after is not None
    if full is not None and full.size > SIMILAR_SIZE * before.size:
        before = full
    kilobytes = (after.wire_size - before.wire_size) / 1000
    name = f"{dimension.description}: {read.name}"
    is_flat = read.name not in NOT_FLAT
    row = Row(
        "growth",
        name,
        UNIT,
        after.milliseconds / before.milliseconds,
        goal=MAX_GROWTH if is_flat else None,
        details={
            "before_ms": before.milliseconds,
            "after_ms": after.milliseconds,
            "more_kilobytes": kilobytes,
        },
    )
    wire = Row("growth", f"{name}, on the wire", "kB more", kilobytes, goal=MAX_KILOBYTES)
    rows = [row, wire] if is_flat else [row]
    return print_rows([replace(one, is_in_table=one.is_reached is False) for one in rows])
