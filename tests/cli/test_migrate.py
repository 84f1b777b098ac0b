"""Databases of other versions, and of installations with a schema of their own."""

import asyncpg
import pytest

from cli.command import CommandError
from cli.migrate import find_revision_problem, migrate_database
from core.config.settings import Settings


async def execute(settings: Settings, *statements: str) -> None:
    connection = await asyncpg.connect(settings.dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("revision", "problem"),
    [
        ("0042", "before release 1.0.0. Start the checkout of commit 25086fe3 with it once"),
        ("9999", "at version 9999, newer than this installation"),
        ("ae12b3", "at version ae12b3, newer than this installation"),
    ],
)
async def test_a_database_of_another_version_is_refused_unchanged(
    isolated_settings: Settings, revision: str, problem: str
) -> None:
    await execute(
        isolated_settings,
        f"update alembic_version set version_num = '{revision}'",
        "comment on table alembic_version is null",
    )
    with pytest.raises(CommandError, match=problem):
        await migrate_database(isolated_settings)
    assert problem in await find_revision_problem(isolated_settings)


async def test_the_tables_are_created_in_the_schema_of_the_database(
    isolated_settings: Settings,
) -> None:
    name = isolated_settings.dsn.rsplit("/", 1)[1].split("?")[0]
    await execute(
        isolated_settings,
        "drop schema public cascade",
        'create schema "Odd schema"',
        f'alter database "{name}" set search_path = "Odd schema"',
    )
    await migrate_database(isolated_settings)
    connection = await asyncpg.connect(isolated_settings.dsn)
    try:
        assert (
            await connection.fetchval(
                "select relnamespace::regnamespace::text from pg_class where relname = 'tasks'"
            )
            == '"Odd schema"'
        )
        await connection.execute(
            "insert into organizations (id, name, is_demo, created_at, updated_at)"
            " values (gen_random_uuid(), 'Odd', false, now(), now())"
        )
    finally:
        await connection.close()
