"""An import of hostile data of the largest size: it comes along changed, and nothing crashes."""

from collections.abc import Callable
from contextlib import suppress

import asyncpg
import httpx2
import pytest
from sqlalchemy import JSON, DateTime, Float, Integer, Table, Text, select
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Organization
from services import counters
from services.original import source
from tests.original.test_imported_site import list_addresses, sign_in
from tests.support.api_fixtures import committing_api_app
from tests.support.original_import import run_import
from tests.support.people_rows import cookie_secret
from tests.support.tiers import IS_COMPLETE_RUN, select_options
from web.auth.viewer import SESSION_COOKIE

__all__ = ["committing_api_app"]

TABLES = [one for one in vars(source).values() if isinstance(one, Table)]
SIZE = 400_000 if IS_COMPLETE_RUN else 40_000  # so many times a text is repeated
HUGE = f"repeat('<b>' || chr(27) || '%s\u202e' || chr(7), {SIZE}) || ctid"
LONG = "repeat('x', 100000) || ctid"  # an index takes it, because it is compressed
SHORT = "E'\\u202e\\x01 \\n'"
DEEP = "(repeat('[', 2000) || repeat(']', 2000))::json"
UNSTORABLE = r"""'[{"\u0000": "\ud800", "a": 1e999, "b": 12345678901234567890123}]'::json"""
LARGE_JSON = f"to_json(repeat('\u202e{{}}', {SIZE}))"
VALUES: dict[type, tuple[str, ...]] = {
    Text: (HUGE, LONG, SHORT, "''"),
    JSON: (LARGE_JSON, DEEP, UNSTORABLE, "'null'::json"),
    DateTime: ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'9999-12-31'"),
    Float: ("'NaN'", "'-Infinity'", "1e300", "-1"),
    Integer: ("2147483647", "-2147483648", "0", "-1"),
}
"""Values by type, one for each case; where a constraint refuses one, the next one is stored."""
KEPT = {"users.clerk_user_id", "organization_members.role"}
CASES = select_options(__name__, range(4))


async def store_hostile_values(connection: asyncpg.Connection, case: int) -> int:
    """Replace the values of all columns, where constraints allow it; return how many columns."""
    count = 0
    for table in TABLES:
        for column in table.c:
            values = next((v for kind, v in VALUES.items() if isinstance(column.type, kind)), ())
            name = f"{table.name}.{column.name}"
            for value in () if name in KEPT else (values[case:] + values[:case]):
                with suppress(asyncpg.PostgresError):
                    await connection.execute(f"update {table.name} set {column.name} = {value}")
                    count += 1
                    break
    return count


@pytest.mark.parametrize("case", CASES)
async def test_hostile_values_of_the_largest_size_are_imported_and_shown(
    committing_api_app: ASGIApp,
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original: asyncpg.Connection,
    original_url: str,
    case: int,
) -> None:
    assert await store_hostile_values(original, case) > 100
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    for kind in ("organizations", "users", "boards", "tasks", "approvals", "notes", "webhooks"):
        assert report.written[kind] > 0, kind
    async with isolated_transaction() as session:
        assert await counters.repair_counters(session) == []
        organizations = [*await session.scalars(select(Organization))]
    for organization in organizations[: 2 if IS_COMPLETE_RUN else 1]:
        user = await sign_in(isolated_transaction, organization)
        addresses = await list_addresses(isolated_transaction, organization)
        await check_pages(committing_api_app, cookie_secret(user), addresses)


async def check_pages(application: ASGIApp, cookie: str, addresses: list[str]) -> None:
    """Open pages, and compare their statuses."""
    open_client: Callable[..., httpx2.AsyncClient] = httpx2.AsyncClient
    async with open_client(
        transport=httpx2.ASGITransport(application),
        base_url="http://mission.test",
        cookies={SESSION_COOKIE: cookie},
    ) as client:
        statuses = {
            address: (await client.get(address, follow_redirects=True)).status_code
            for address in addresses
        }
    assert {one: status for one, status in statuses.items() if status != 200} == {}
