"""The stored database of the original has what an import has to cope with."""

import asyncpg

from core.security.secrets import verify_pbkdf2
from tests.support.original_data import AGENT_TOKENS, multiply_rows

TABLES = "select table_name from information_schema.tables where table_schema = 'public'"


async def test_each_table_of_the_original_has_rows(original: asyncpg.Connection) -> None:
    tables = [row["table_name"] for row in await original.fetch(TABLES)]
    count = "select count(*) from {}"
    counts = {table: await original.fetchval(count.format(table)) for table in tables}
    assert len(tables) == 30
    assert [table for table, rows in counts.items() if not rows] == []


async def test_tokens_of_its_agents_match_their_hashes(original: asyncpg.Connection) -> None:
    query = "select name, agent_token_hash from agents where agent_token_hash like 'pbkdf2%'"
    hashes = {row["name"]: row["agent_token_hash"] for row in await original.fetch(query)}
    names = hashes.keys() & AGENT_TOKENS
    assert len(names) == 5
    assert all(verify_pbkdf2(AGENT_TOKENS[name], hashes[name]) for name in names)


async def test_it_has_json_that_jsonb_refuses(original: asyncpg.Connection) -> None:
    payloads = await original.fetch("select payload::text from board_webhook_payloads")
    [refused] = [it["payload"] for it in payloads if "\\ud83d" in it["payload"]]
    assert "\\u0000" in refused
    assert str(10**100) in refused


async def test_its_rows_are_copied_for_measurements(original: asyncpg.Connection) -> None:
    await multiply_rows(original, tasks=200, events=900)
    assert await original.fetchval("select count(*) from tasks") == 200
    assert await original.fetchval("select count(*) from activity_events") == 900
    comments = "select count(*) from activity_events where event_type = 'task.comment'"
    assert await original.fetchval(comments) > 200
