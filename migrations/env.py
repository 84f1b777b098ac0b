"""Runs the migrations, over the same driver as the app, or over a connection that is handed in."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import SchemaItem

from models import Base

NOT_OURS = "pgqueuer"  # tables of the job queue, which its own migration makes


def is_ours(
    _item: SchemaItem, name: str | None, _kind: str, _reflected: bool, _other: SchemaItem | None
) -> bool:
    """Say whether the models describe this table."""
    return not (name or "").startswith(NOT_OURS)


def migrate(connection: Connection) -> None:
    """Run the migrations in the transaction of a connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        include_object=is_ours,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Open a connection to the database that is set, and migrate it."""
    from kit.settings import Settings

    engine = create_async_engine(Settings.load().sqlalchemy_url)
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


handed_in = context.config.attributes.get("connection")
if handed_in is None:
    asyncio.run(main())
else:
    migrate(handed_in)
