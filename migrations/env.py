"""Run the migrations on the connection that the caller passes, or else on a new one."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from models import Base


def migrate(connection: Connection) -> None:
    """Run each migration in a transaction of its own, unless the connection has begun one."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        transactional_ddl=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    """Connect to the configured database and migrate it."""
    from core.config.settings import Settings
    from core.db.engine import create_direct_engine

    engine = create_direct_engine(Settings.load())
    async with engine.connect() as connection:  # each migration has a transaction of its own
        await connection.run_sync(migrate)
    await engine.dispose()


given_connection = context.config.attributes.get("connection")
if given_connection is None:
    asyncio.run(main())
else:
    migrate(given_connection)
