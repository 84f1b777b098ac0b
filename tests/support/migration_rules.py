"""What a migration must not do while the previous release uses the database."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cli.migrate import COMPATIBLE_SINCE, SCRIPTS, parse_version
from core.config.settings import Settings

HEADER = "revision = {!r}\ndown_revision = {!r}\nfrom alembic import op\n\n"
INDEX = re.compile(
    r"\bcreate\s+(?:unique\s+)?index\s+(?!concurrently\b).*?\bon\s+(?:only\s+)?(\w+)"
)

TABLES = "select relname, relfilenode from pg_class where relkind = 'r' and {schema}"
COLUMNS = """
    select relname || '.' || attname, format_type(atttypid, atttypmod), attnotnull,
        atthasdef or attidentity <> ''
    from pg_attribute join pg_class on pg_class.oid = attrelid
    where attnum > 0 and not attisdropped and relkind = 'r' and {schema}
"""
CONSTRAINTS = """
    select conname, relname, array(
        select attname::text from pg_attribute where attrelid = conrelid and attnum = any (conkey)
    ) from pg_constraint join pg_class on pg_class.oid = conrelid where contype <> 'n' and {schema}
    union
    select indexrelid::regclass::text, relname, array(
        select attname::text from pg_attribute where attrelid = indrelid and attnum = any (indkey)
    ) from pg_index join pg_class on pg_class.oid = indrelid where indisunique and {schema}
"""
OTHERS = """
    select 'the trigger ' || tgname || ' of ' || relname
    from pg_trigger join pg_class on pg_class.oid = tgrelid where not tgisinternal and {schema}
    union select 'the function ' || oid::regprocedure from pg_proc
    where pronamespace = current_schema::regnamespace
"""
SCHEMA = "relnamespace = current_schema::regnamespace"


@dataclass(frozen=True)
class DatabaseSchema:
    """What the previous release relies on."""

    tables: dict[str, int]  # with the number of their file: another one is a rewritten table
    columns: dict[str, tuple[str, bool, bool]]  # type, not null, has a default
    constraints: dict[str, tuple[str, list[str]]]  # table and columns
    others: set[str]

    @classmethod
    def read(cls, connection: Connection) -> "DatabaseSchema":
        def fetch(query: str) -> list[Any]:
            return list(connection.execute(text(query.format(schema=SCHEMA))))

        return cls(
            dict(map(tuple, fetch(TABLES))),
            {name: (type, required, default) for name, type, required, default in fetch(COLUMNS)},
            {name: (table, columns) for name, table, columns in fetch(CONSTRAINTS)},
            {name for (name,) in fetch(OTHERS)},
        )

    def list_unsafe_changes(self, new: "DatabaseSchema", statements: list[str]) -> Iterator[str]:
        """Yield what a migration from this schema to a new one must not do, as sentences."""
        kept = self.tables.keys() & new.tables.keys()
        yield from (f"removes the table {name}" for name in self.tables.keys() - kept)
        yield from (
            f"rewrites the table {name}" for name in kept if self.tables[name] != new.tables[name]
        )
        yield from self._list_unsafe_columns(new)
        for name, (table, columns) in new.constraints.items():
            is_added = name not in self.constraints and table in self.tables
            is_of_new_columns = columns and not any(
                f"{table}.{it}" in self.columns for it in columns
            )
            if is_added and not is_of_new_columns:
                yield f"adds {name}, which the previous release may violate"
        yield from (f"removes {name}" for name in self.others - new.others)
        for statement in statements:
            if (found := INDEX.search(statement.lower())) and found[1] in self.tables:
                yield f"creates an index of {found[1]} without CONCURRENTLY"

    def _list_unsafe_columns(self, new: "DatabaseSchema") -> Iterator[str]:
        for name, (type, required, _) in self.columns.items():
            if name not in new.columns:
                yield f"removes the column {name}"
            elif new.columns[name][0] != type:
                yield f"changes the type of {name}"
            elif new.columns[name][1] and not required:
                yield f"makes {name} NOT NULL"
        for name, (_, required, has_default) in new.columns.items():
            is_added = name not in self.columns and name.split(".")[0] in self.tables
            if is_added and required and not has_default:
                yield f"adds the column {name}, NOT NULL without a default"


def add_migrations(folder: Path, *bodies: str) -> Path:
    """Copy the migrations into a new folder, and add one for each body of `upgrade`."""
    scripts = Path(copytree(SCRIPTS, folder / "migrations"))
    for number, body in enumerate(bodies):
        head = ScriptDirectory(str(scripts)).get_current_head()
        revision = f"test{number}"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (scripts / f"versions/{revision}.py").write_text(
            HEADER.format(revision, head) + f"def upgrade() -> None:\n{lines}"
        )
    return scripts


async def upgrade(settings: Settings, scripts: Path, revision: str) -> list[str]:
    """Migrate to a revision; return the unsafe changes of the migrations."""
    config = Config()
    config.set_main_option("script_location", str(scripts))
    statements: list[str] = []

    def keep_statement(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    def run(connection: Connection) -> list[str]:
        before = DatabaseSchema.read(connection)
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        return list(before.list_unsafe_changes(DatabaseSchema.read(connection), statements))

    engine = create_async_engine(settings.sqlalchemy_url, poolclass=NullPool)
    event.listen(engine.sync_engine, "before_cursor_execute", keep_statement)
    try:
        async with asyncio.timeout(60), engine.connect() as connection:
            return await connection.run_sync(run)
    finally:
        await engine.dispose()


def is_allowed(module: Any) -> bool:
    """Return whether a migration states for which release, or why, it breaks these rules."""
    contracts = getattr(module, "contracts", None)
    if contracts is not None:
        return parse_version(contracts) <= parse_version(COMPATIBLE_SINCE)
    return bool(getattr(module, "locks", ""))
