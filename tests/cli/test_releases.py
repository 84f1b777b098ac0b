"""Releases that follow each other: stored data, migrations, and a release back."""

import asyncio
import re
from collections import Counter
from pathlib import Path

import asyncpg
import httpx2
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from cli.command import CommandError
from cli.database import open_transaction
from cli.migrate import (
    BASELINE,
    COMPATIBLE_SINCE,
    SCRIPTS,
    find_outdated_revision,
    find_revision_problem,
    get_compatible_since,
    migrate_database,
    parse_version,
    prepare_database,
)
from core.config.settings import Settings
from core.version import VERSION
from services import counters
from tests.cli.conftest import OWNER, SAME_SITE
from tests.cli.test_migrate import execute
from tests.support.live_server import run_server
from tests.support.migration_rules import add_migrations, is_allowed, upgrade
from tests.support.release_data import FILE_NAME, MAX_BYTES, RELEASES, restore_release
from tests.support.tiers import IS_COMPLETE_RUN, repetition

SAFE = """\
op.execute("alter table tags add icon text not null default ''")
op.execute("alter table tags add parent_id uuid references tags (id)")
op.execute("create table icons (id uuid primary key, name text not null unique)")
op.execute("create index icons_by_length on icons (length(name))")
with op.get_context().autocommit_block():
    op.execute("create index concurrently tags_by_icon on tags (icon)")"""

UNSAFE = {
    "drop table tags cascade": "removes the table tags",
    "alter table tags drop color": "removes the column tags.color",
    "alter table tags rename color to colour": "removes the column tags.color",
    "alter table tags alter name type varchar(9)": "changes the type of tags.name",
    "alter table tags add icon text not null": "adds the column tags.icon, NOT NULL without",
    "alter table boards alter objective set not null": "makes boards.objective NOT NULL",
    "alter table tags add at uuid default gen_random_uuid()": "rewrites the table tags",
    "alter table tags add constraint short check (name <> '')": "adds short, which the previous",
    "create unique index one_color on tags (color)": "adds one_color, which the previous",
    "create index tags_by_color on tags (color)": "creates an index of tags without CONCURRENTLY",
    "drop trigger append on audit_records": "removes the trigger append of audit_records",
}


async def test_migrations_after_1_0_0_can_run_beside_the_previous_release(
    isolated_settings: Settings,
) -> None:
    """What must break a rule says `contracts` or `locks`: docs/decisions/updates.md."""
    await execute(isolated_settings, "drop schema public cascade", "create schema public")
    await upgrade(isolated_settings, SCRIPTS, BASELINE)
    scripts = [*ScriptDirectory(str(SCRIPTS)).walk_revisions(BASELINE, "head")]
    problems = []
    for script in reversed(scripts[:-1]):
        found = await upgrade(isolated_settings, SCRIPTS, script.revision)
        problems += [] if is_allowed(script.module) else [f"{script.revision} {it}" for it in found]
    assert problems == []


async def test_a_migration_that_only_adds_is_safe(
    isolated_settings: Settings, tmp_path: Path
) -> None:
    assert await upgrade(isolated_settings, add_migrations(tmp_path, SAFE), "head") == []


@pytest.mark.parametrize(("statement", "problem"), UNSAFE.items())
async def test_a_migration_that_the_previous_release_cannot_bear_is_found(
    isolated_settings: Settings, tmp_path: Path, statement: str, problem: str
) -> None:
    scripts = add_migrations(tmp_path, f"op.execute({statement!r})")
    found = await upgrade(isolated_settings, scripts, "head")
    assert any(it.startswith(problem) for it in found), found


async def test_a_migration_gives_up_its_lock_until_it_gets_it(
    isolated_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that wait behind the migration continue while another transaction is long."""
    monkeypatch.setattr("cli.migrate.STATEMENT_LOCK_TIMEOUT", 300)
    monkeypatch.setattr("cli.migrate.LOCK_RETRY_DELAY", 0.2)
    scripts = add_migrations(
        tmp_path,
        "op.execute('create table migrated_once (id integer)')",
        "op.execute('alter table tags add icon text')",
    )
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        other = await asyncpg.connect(isolated_settings.dsn)
        long = other.transaction()
        await long.start()
        await other.execute("select from tags")
        migration = tasks.create_task(migrate_database(isolated_settings, scripts))
        reader = await asyncpg.connect(isolated_settings.dsn)
        while not await reader.fetchval("select to_regclass('migrated_once') is not null"):
            await asyncio.sleep(0.05)
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        waited = 0
        while waited < 2:  # it waits for the second time
            while not await reader.fetchval(waits):
                await asyncio.sleep(0.05)
            await reader.execute("select from tags", timeout=30)  # behind the migration
            waited += 1
        assert not migration.done()
        await long.rollback()
        assert await migration == "test1"
        await other.close()
        await reader.close()


@repetition
async def test_the_migration_of_words_locks_few_long_texts_at_once(
    isolated_settings: Settings,
) -> None:
    """The words of a long text take half a second, and others wait for a locked row 10 s."""
    await execute(
        isolated_settings,
        "insert into soul_directories (id, address) values (gen_random_uuid(), 'https://a.test')",
        """
        insert into souls (id, directory_id, handle, slug, title, description, content)
        select gen_random_uuid(), id, 'a', number, 'é', '', repeat('é ', size) from soul_directories
        cross join (select number, case when number > 4 then 1 else 50000 end as size
            from generate_series(1, 300) number) as rows where address = 'https://a.test'
        """,
        "update alembic_version set version_num = '0114'",
    )
    await upgrade(isolated_settings, SCRIPTS, "0115")
    async with open_transaction(isolated_settings) as session:
        updated = text("select count(*), sum(octet_length(content)) from souls group by xmin::text")
        counts, sizes = zip(*await session.execute(updated), strict=True)
    assert sum(counts) >= 300
    assert len(counts) < 30
    assert max(sizes) < 500_000


async def test_several_processes_migrate_once(isolated_settings: Settings, tmp_path: Path) -> None:
    scripts = add_migrations(tmp_path, SAFE)
    migrations = [migrate_database(isolated_settings, scripts) for _ in range(4)]
    assert set(await asyncio.gather(*migrations)) == {"test0"}


async def test_a_release_uses_the_database_of_the_next_one(
    isolated_settings: Settings, tmp_path: Path
) -> None:
    await migrate_database(isolated_settings, add_migrations(tmp_path, SAFE))
    assert await migrate_database(isolated_settings) == "test0"  # not changed
    assert await find_revision_problem(isolated_settings) == ""
    assert await find_outdated_revision(isolated_settings) == ""


async def test_a_database_says_which_release_it_needs(isolated_settings: Settings) -> None:
    assert await get_compatible_since(isolated_settings) == VERSION
    await execute(
        isolated_settings,
        "update alembic_version set version_num = '9999'",
        "comment on table alembic_version is 'compatible since 2.0.0'",
    )
    assert await find_outdated_revision(isolated_settings) == "9999"
    with pytest.raises(CommandError, match="it needs release 2\\.0\\.0 or newer"):
        await migrate_database(isolated_settings)
    for comment in ("'compatible since 2'", "'since 1.0.0'", "null"):
        await execute(isolated_settings, f"comment on table alembic_version is {comment}")
        assert "newer than this" in await find_revision_problem(isolated_settings)


STORED_RELEASES = sorted((folder.name for folder in RELEASES.iterdir()), key=parse_version)
COUNT_OF_EACH_TABLE = """
    select string_agg(format('select %L, count(*) from %I', relname, relname), ' union all ')
    from pg_class where relkind = 'r' and relnamespace = current_schema::regnamespace
"""
LINK = re.compile(r'href="(/[^"#?]*)')
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+")
NO_PAGES = re.compile(r"/(static|api|docs|openapi|client|events|health|readyz|metrics).*")
MAX_PAGES_OF_A_KIND = 2 if IS_COMPLETE_RUN else 1


def test_the_data_of_all_releases_is_stored() -> None:
    """The database of the next release can be used by the last one, or by an older one, too."""
    assert STORED_RELEASES
    earlier = [it for it in STORED_RELEASES if parse_version(it) < parse_version(VERSION)]
    assert parse_version(COMPATIBLE_SINCE) <= parse_version((earlier or [VERSION])[-1])
    for name in STORED_RELEASES:
        assert (RELEASES / name / FILE_NAME).stat().st_size <= MAX_BYTES


async def crawl(browser: httpx2.AsyncClient) -> Counter[str]:
    """Open the pages to which links lead, of each kind some; return how many of each kind."""
    opened: Counter[str] = Counter()
    found, waiting = {"/"}, ["/"]
    while waiting:
        path = waiting.pop(0)
        kind = ID.sub("ID", path)
        if opened[kind] == MAX_PAGES_OF_A_KIND or NO_PAGES.fullmatch(path):
            continue
        opened[kind] += 1
        response = await browser.get(path, follow_redirects=True)
        assert response.status_code == 200, (path, response.status_code)
        new = set(LINK.findall(response.text)) - found
        found |= new
        waiting += sorted(new)
    return opened


@pytest.mark.parametrize("release", STORED_RELEASES)
async def test_this_version_starts_with_the_data_of_a_release(
    isolated_settings: Settings, release: str
) -> None:
    await execute(isolated_settings, "drop schema public cascade", "create schema public")
    await asyncio.to_thread(restore_release, release, isolated_settings)
    connection = await asyncpg.connect(isolated_settings.dsn)
    count = await connection.fetchval(COUNT_OF_EACH_TABLE)
    before = list(await connection.fetch(count))
    await prepare_database(isolated_settings)
    assert list(await connection.fetch(count)) == before
    await connection.close()
    assert dict(map(tuple, before))["tasks"] > 10
    async with open_transaction(isolated_settings) as session:
        assert await counters.repair_counters(session) == []
    async with (
        run_server(isolated_settings) as url,
        httpx2.AsyncClient(base_url=url, headers=SAME_SITE, timeout=60) as browser,
    ):
        assert (await browser.post("/sign-in", data=OWNER)).headers["Location"] == "/"
        opened = await crawl(browser)
    assert {"/boards/ID", "/agents", "/approvals"} <= opened.keys()
