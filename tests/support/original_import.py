"""Imports of the stored database of the original into the database of a test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from services.gateways import GatewayConnector
from services.original import (
    DeviceKey,
    ImportOptions,
    ImportReport,
    import_original,
    open_original,
)
from tests.support.original_data import DEVICE_FILE
from tests.support.secret_key import CIPHER

ISSUER = "https://clerk.example.com"
TABLES = (
    "select table_name from information_schema.tables"
    " where table_schema = 'public' order by table_name"
)
CONTENT = "select md5(string_agg(md5(one::text), '' order by md5(one::text))) from {} one"


def read_device_key() -> DeviceKey:
    """Return the identity of the original at its gateways."""
    key = DeviceKey.find(DEVICE_FILE.read_text())
    assert key is not None
    return key


async def run_import(
    transaction: TransactionFactory,
    original_url: str,
    settings: Settings,
    *,
    commits: bool = True,
    **options: Any,
) -> ImportReport:
    """Import the database at an address, as the command does. By default the issuer is known."""
    chosen = replace(ImportOptions(issuer=ISSUER), **options)
    connector = GatewayConnector.from_settings(settings, CIPHER)
    async with open_original(original_url) as source, transaction() as session:
        report = await import_original(session, source, chosen, connector, CIPHER)
        if not commits:
            await session.rollback()
        return report


async def fetch_content(session: AsyncSession) -> Mapping[str, str | None]:
    """Return a hash of all rows of each table."""
    names = [*await session.scalars(text(TABLES))]
    return {name: await session.scalar(text(CONTENT.format(name))) for name in names}


async def fetch_original_content(connection: asyncpg.Connection) -> Mapping[str, str | None]:
    """Return the same of the original."""
    names = [row[0] for row in await connection.fetch(TABLES)]
    return {name: await connection.fetchval(CONTENT.format(name)) for name in names}


async def fetch_ids(connection: asyncpg.Connection, table: str) -> set[str]:
    """Return the ids of the rows of a table of the original."""
    return {str(row["id"]) for row in await connection.fetch(f"select id from {table}")}
