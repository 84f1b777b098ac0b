"""No statement of a read, a page, or a deletion of what is old scans a table that grows."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from core.config.settings import Settings
from tests.conftest import copy_database, rolled_back
from tests.support.api_fixtures import HIGH_RATE_LIMITS
from tests.support.app_on_transactions import build_app_on
from tests.support.every_read import Read, list_reads
from tests.support.large_dataset import create_many_of_everything
from tests.support.marked_objects import collect_page_ids
from tests.support.query_plans import list_scanned_tables, pretend_many_rows
from tests.support.round_trips import RoundTrip, record_round_trips
from tests.support.row_copies import PAST, WORK, multiply_rows
from tests.support.stored_world import store_world
from worker.periodic import PeriodicTasks

ROWS, FACTOR = 10, 5  # of every kind, and of the work there is so many times as much
ORGANIZATIONS = 20  # with all of it: one of them has only a small part of a table
LIMITS = HIGH_RATE_LIMITS | {"rate_limit_pages": 1_000_000}
MIN_STATEMENTS = 200  # different ones
HAPPENED = (
    *("activity_events", "agent_messages", "agent_runs", "board_webhook_payloads"),
    *("webhook_deliveries", "notifications", "tool_calls", "coding_sessions", "usage_facts"),
)
"""The tables of what happens, from which old rows are deleted."""
PLANNED = ("select", "with", "update", "delete", "insert")


@dataclass(frozen=True)
class GrownSite:
    """A database with rows of every kind, and the requests that read them."""

    settings: Settings
    reads: Sequence[Read]


@pytest.fixture(scope="module")
def site(postgres_server: str, template_database: str) -> Iterator[GrownSite]:
    with copy_database(template_database, postgres_server, "grown") as settings:
        settings = settings.model_copy(update=LIMITS)
        yield GrownSite(settings, asyncio.run(_fill(settings)))


async def _fill(settings: Settings) -> list[Read]:
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    world = await store_world(transaction)
    async with transaction() as session:
        objects, rows = await create_many_of_everything(session, world, ROWS)
    await engine.dispose()
    await multiply_rows(settings, WORK, FACTOR, PAST)
    await multiply_rows(settings, {"organizations": "name = 'Tern'"}, ORGANIZATIONS)
    await pretend_many_rows(settings.dsn)
    return list_reads(objects, collect_page_ids(world, objects.gateway, rows))


async def _record_statements(site: GrownSite) -> dict[str, tuple[str, RoundTrip]]:
    """Return each statement with the name of the first request that sends it."""
    found: dict[str, tuple[str, RoundTrip]] = {}
    async with rolled_back(site.settings) as (_, transaction):
        transport = httpx2.ASGITransport(build_app_on(site.settings, transaction))
        async with httpx2.AsyncClient(transport=transport, base_url="http://m.test") as client:
            for read in site.reads:
                with record_round_trips() as log:
                    answer = await client.get(read.address, headers=dict(read.headers))
                assert answer.status_code < 500, (read.name, answer.text)
                for sent in log.all:
                    if sent.is_statement and sent.statement.lower().lstrip().startswith(PLANNED):
                        found.setdefault(sent.statement, (read.name, sent))
    return found


async def test_no_read_or_page_scans_a_growing_table(site: GrownSite) -> None:
    statements = await _record_statements(site)
    assert len(statements) > MIN_STATEMENTS
    await _check_plans(site, statements)


async def test_no_deletion_of_old_rows_scans_a_table_of_what_happened(site: GrownSite) -> None:
    """And each deletes a bounded number of rows."""
    kept = {"event_retention_days": 30, "message_retention_days": 30}
    settings = site.settings.model_copy(update=kept)
    async with rolled_back(site.settings) as (_, transaction):
        with record_round_trips() as log:
            await PeriodicTasks(settings, transaction, transaction).purge()
    found = {one.statement: ("purge", one) for one in log.all if one.is_statement}
    sent = {text: one for text, one in found.items() if any(table in text for table in HAPPENED)}
    deletions = [text for text in sent if text.lstrip().startswith("DELETE")]
    assert len(deletions) > len(HAPPENED) - 2
    assert all("LIMIT" in text or "ANY (" in text for text in deletions)
    await _check_plans(site, sent, HAPPENED)


async def _check_plans(
    site: GrownSite, statements: dict[str, tuple[str, RoundTrip]], tables: Sequence[str] = ("",)
) -> None:
    """Check that no statement scans a growing table whose name begins with one of these."""
    connection = await asyncpg.connect(site.settings.dsn)
    await connection.execute("set plan_cache_mode = force_custom_plan")
    scans = {}
    for name, sent in statements.values():
        scanned = await list_scanned_tables(connection, sent)
        if scanned := [one for one in scanned if one.startswith((*tables,))]:
            scans[f"{name}: {', '.join(scanned)}"] = sent.statement
    await connection.close()
    assert not scans, "\n\n".join(f"{one}\n{statement}" for one, statement in scans.items())
