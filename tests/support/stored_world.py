"""A database in which the test data is stored, and stored again after some seconds."""

import pickle
import time
from collections.abc import Sequence

from sqlalchemy import Table, delete
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models.base import Base
from tests.support.world import World, make_world

MAX_AGE = 10.0  # seconds: in a test, its agents have just called


class StoredWorld:
    """The test data that is committed in a database: each test gets its own copies of the rows."""

    def __init__(self, settings: Settings, engine: AsyncEngine) -> None:
        self.settings = settings
        self._engine = engine
        self._packed = b""
        self._stored_at = float("-inf")

    @property
    def database(self) -> str:
        """Return the name of the database."""
        return str(make_url(self.settings.database_url).database)

    async def refresh(self) -> None:
        """Store new rows if those in the database are old. No transaction may be open there."""
        if time.monotonic() - self._stored_at < MAX_AGE:
            return
        async with self._engine.begin() as connection:
            for table in _find_world_tables():
                await connection.execute(delete(table))
        transaction = async_sessionmaker(self._engine, expire_on_commit=False).begin
        self._packed = pickle.dumps(await store_world(transaction))
        self._stored_at = time.monotonic()

    def copy_rows(self) -> World:
        """Return the rows as they are in the database, each time as new objects."""
        return pickle.loads(self._packed)


def _find_world_tables() -> Sequence[Table]:
    """Return the tables of the test data, referring tables first."""
    world = make_world()
    used = {row.__table__ for row in (*vars(world).values(), *world.all_rows())}
    return [table for table in reversed(Base.metadata.sorted_tables) if table in used]


async def store_world(transaction: TransactionFactory) -> World:
    """Store the test data."""
    world = make_world()
    async with transaction() as session:
        session.add_all([world.tern, world.plover])
        await session.flush()
        session.add_all(world.all_rows())
        await session.flush()
        session.add_all([world.bob_access, world.rita_access])
    return world
