"""Run migrations of a test's own database up or down."""

from collections.abc import Callable
from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

ROOT = Path(__file__).parent.parent.parent


async def migrate(url: str, run: Callable[[Config, str], None], revision: str) -> None:
    """Run `command.upgrade` or `command.downgrade` of alembic to a revision."""
    engine = create_async_engine(url, poolclass=NullPool)
    config = Config(toml_file=ROOT / "pyproject.toml")

    def run_with(connection: Connection) -> None:
        config.attributes["connection"] = connection
        run(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(run_with)
    await engine.dispose()
