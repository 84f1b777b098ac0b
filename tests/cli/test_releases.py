"""Releases that follow each other: migrations beside the previous one, and a release back."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from cli.command import CommandError
from cli.migrate import (
    BASELINE,
    SCRIPTS,
    find_outdated_revision,
    find_revision_problem,
    get_compatible_since,
    migrate_database,
)
from core.config.settings import Settings
from core.version import VERSION
from tests.cli.test_migrate import execute
from tests.support.migration_rules import add_migrations, is_allowed, upgrade

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
    isolated_settings: Settings, tmp_path: Path
) -> None:
    """Requests that wait behind the migration continue while another transaction is long."""
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
