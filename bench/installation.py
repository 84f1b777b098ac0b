"""A database server with a prepared database that each part of the benchmark copies."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from app import build_app
from bench.client import Client
from cli.migrate import migrate_database
from core.clock import now
from core.config.settings import Settings
from core.db.engine import create_database_engine
from core.security.secrets import generate_token, hash_token, token_prefix
from embedded_postgres.instance import EmbeddedPostgres
from models import ApiToken, Organization, User
from services import identity
from tests.support.people_rows import make_member, make_user
from web.auth.viewer import SESSION_COOKIE

TOKEN = "a token that is longer than fifty characters, as it has to be"  # noqa: S105
NO_LIMIT = 1_000_000
DATABASE = "mission_control"
EMPTY = "empty"
TUNING = {"fsync": "off", "max_connections": "150"}

USER = (("authorization", f"Bearer {TOKEN}"),)


@dataclass(frozen=True)
class DatabaseServer:
    """An embedded PostgreSQL with several databases."""

    dsn: str  # of the first database
    postgres: EmbeddedPostgres

    def dsn_of(self, database: str) -> str:
        """Return the address of one of its databases."""
        return self.dsn.replace(f"/{DATABASE}?", f"/{database}?")

    def settings_of(self, database: str) -> Settings:
        """Return settings with which the application uses one of its databases."""
        return Settings(
            database_url=self.dsn_of(database),
            secret_key=TOKEN,
            auth_mode="local",
            local_auth_token=TOKEN,
            log_level="WARNING",
            request_log_slow_ms=60_000,
            rate_limit_requests=NO_LIMIT,
            rate_limit_pages=NO_LIMIT,
            rate_limit_streams=NO_LIMIT,
        )

    async def copy_database(self, source: str, name: str) -> Settings:
        """Copy a database to which nobody is connected, and return the settings for the copy.

        It replaces a copy of another part with the same name.
        """
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        return self.settings_of(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database, also if somebody is still connected to it."""
        await self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def restart(self) -> None:
        """Stop the server, which ends all connections, and start it again."""
        has_stopped = await asyncio.to_thread(self.postgres.stop)
        assert has_stopped, "another process uses the database server"
        await asyncio.to_thread(self.postgres.start)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"))
        await connection.execute(statement)
        await connection.close()


@asynccontextmanager
async def open_database_server(folder: Path) -> AsyncGenerator[DatabaseServer, None]:
    """Start a database server whose two databases have all tables and no rows."""
    postgres = EmbeddedPostgres(folder / "data", database=DATABASE, tuning=TUNING)
    dsn = await asyncio.to_thread(postgres.start)
    try:
        server = DatabaseServer(dsn, postgres)
        await migrate_database(server.settings_of(DATABASE))
        await server.copy_database(DATABASE, EMPTY)
        yield server
    finally:
        await asyncio.to_thread(postgres.stop)


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncGenerator[Client, None]:
    """Run the application in this process, and yield a client."""
    app = build_app(settings)
    async with app.router.lifespan_context(app) as state:
        yield Client(app, dict(state or {}))


@dataclass(frozen=True)
class Person:
    """A member who may change all boards."""

    cookie: str
    headers: dict[str, str]  # with an API token


async def create_people(settings: Settings, count: int) -> list[Person]:
    """Create members who may change all boards, each with a session and an API token."""
    engine = create_database_engine(settings, size=1)
    people = []
    async with async_sessionmaker(engine).begin() as session:
        organization = (await session.scalars(select(Organization))).one()
        for number in range(count):
            user = make_user(f"Person{number}", organization)
            token = generate_token("user")
            own = ApiToken(
                user=user,
                name="benchmark",
                prefix=token_prefix(token),
                secret_hash=hash_token(token),
                created_at=now(),
            )
            session.add_all([user, make_member(organization, user, all_boards_write=True), own])
            await session.flush()
            secret = await identity.start_session(session, user, user_agent=None, ip=None)
            headers = {"authorization": f"Bearer {token}"}
            people.append(Person(f"{SESSION_COOKIE}={secret}", headers))
    await engine.dispose()
    return people


async def sign_in(settings: Settings, times: int = 1) -> list[str]:
    """Start sessions of the owner, and return their cookies."""
    engine = create_database_engine(settings, size=1)
    async with async_sessionmaker(engine).begin() as session:
        user = (await session.scalars(select(User))).one()
        secrets = [
            await identity.start_session(session, user, user_agent=None, ip=None)
            for _ in range(times)
        ]
    await engine.dispose()
    return [f"{SESSION_COOKIE}={secret}" for secret in secrets]
