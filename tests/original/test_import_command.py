"""`./run import-original`: its table, its refusals, and a kill in the middle."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from uuid import UUID

import asyncpg
import httpx2
import pytest
from sqlalchemy.engine import make_url

from core.config.settings import Settings
from tests.cli.conftest import installation, run_cli, run_forked
from tests.support.installation import LOCAL_AUTH, LOCAL_TOKEN, Installation
from tests.support.original_data import AGENT_TOKENS, DEVICE_FILE, GATEWAY_TOKENS, WEBHOOK_SECRETS
from tests.support.original_import import ISSUER
from tests.support.preloaded_product import PRODUCT
from tests.support.secret_key import SECRET_KEY
from tests.support.tiers import repetition

__all__ = ["installation"]

WAITING_QUERY = """
    select exists (
        select from pg_locks where not granted and relation = 'activity_events'::regclass
    )
"""
COUNTS_QUERY = """
    select (select count(*) from organizations), (select count(*) from tasks),
        (select count(*) from audit_records where action <> 'installation.first_run_link_created')
"""


@pytest.fixture
def environment(isolated_settings: Settings, original_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of the command: our database, and that of the original."""
    return {
        "MC_ENV_FILE": os.devnull,
        "DATABASE_URL": isolated_settings.dsn,
        "SECRET_KEY": SECRET_KEY,
        "DATA_DIR": str(tmp_path),
        "ORIGINAL_DATABASE_URL": original_url,
    }


async def run_command(environment: dict[str, str], *options: str) -> tuple[int, str, str]:
    """Run the command; return its status and what it has printed."""
    words = ("import-original", *options)
    result = await asyncio.to_thread(run_forked, *words, **environment)
    return result.returncode, result.stdout, result.stderr


async def test_it_shows_a_table_before_it_imports(
    environment: dict[str, str], isolated_settings: Settings
) -> None:
    chosen = ("--issuer", ISSUER, "--device-key", str(DEVICE_FILE))
    status, table, _ = await run_command(environment, "--dry-run", *chosen)
    assert status == 0
    for words in (
        "What changes:",
        "What is not imported, and why:",
        "How people sign in:",
        "with a private address or a host name",
        "Webhooks without a secret",
        "Nothing was changed.",
    ):
        assert words in table
    assert "must approve Mission Control again" not in table
    secrets = (*GATEWAY_TOKENS.values(), *WEBHOOK_SECRETS.values())
    assert not any(secret in table for secret in secrets)
    assert "\x1b" not in table
    status, _, error = await run_command(environment, "--yes", *chosen)
    assert (status, "--private-gateways" in error) == (1, True)
    chosen += ("--private-gateways", "refuse")
    status, _, error = await run_command(environment, *chosen)
    assert (status, "Add --yes" in error) == (1, True)
    connection = await asyncpg.connect(isolated_settings.dsn)
    try:
        assert tuple(await connection.fetchrow(COUNTS_QUERY)) == (0, 0, 0)
        status, table, error = await run_command(environment, "--yes", *chosen)
        assert (status, error) == (0, "")
        assert "Imported: " in table
        imported = tuple(await connection.fetchrow(COUNTS_QUERY))
        assert imported[:1] == (3,)
        status, table, _ = await run_command(environment, "--yes", *chosen)
        assert (status, "Already here" in table) == (0, True)
        assert tuple(await connection.fetchrow(COUNTS_QUERY)) == imported
    finally:
        await connection.close()


async def test_a_kill_in_the_middle_leaves_nothing_and_it_can_run_again(
    environment: dict[str, str], isolated_settings: Settings
) -> None:
    words = ["import-original", "--yes", "--issuer", ISSUER, "--private-gateways", "allow"]
    connection = await asyncpg.connect(isolated_settings.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table activity_events in share mode")
        with TemporaryFile("w+") as errors:
            process = PRODUCT.run(words, environment, errors)
            async with asyncio.timeout(60):
                while not await connection.fetchval(WAITING_QUERY):
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            process.wait(20)
            process.stdout.close()
        await transaction.rollback()
        assert tuple(await connection.fetchrow(COUNTS_QUERY)) == (0, 0, 0)
        status, _, error = await run_command(environment, *words[1:])
        assert (status, error) == (0, "")
        assert (await connection.fetchrow(COUNTS_QUERY))[0] == 3
    finally:
        await connection.close()


@repetition
async def test_a_running_server_serves_what_is_imported(
    installation: Installation, original_url: str
) -> None:
    words = ("import-original", "--yes", "--issuer", ISSUER, "--private-gateways", "refuse")
    environment = LOCAL_AUTH | {"ORIGINAL_DATABASE_URL": original_url}
    run = partial(run_cli, *words, data=installation.data_dir, **environment)
    result = await asyncio.to_thread(run)
    assert (result.returncode, result.stderr) == (0, "")
    async with httpx2.AsyncClient(base_url=f"{installation.url}/api/v1", timeout=60) as client:
        for name, token in AGENT_TOKENS.items():
            headers = {"X-Agent-Token": token}
            answer = await client.post("/agent/heartbeat", headers=headers, json={})
            assert answer.status_code == 200, name
        local = {"Authorization": f"Bearer {LOCAL_TOKEN}"}  # the same user as in the original
        boards = await client.get("/boards", headers=local)
        assert "Launch" in [one["name"] for one in boards.json()["items"]]


async def test_it_refuses_what_it_cannot_use(
    environment: dict[str, str], tmp_path: Path, original: asyncpg.Connection
) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    named = dict(environment)
    address = named.pop("ORIGINAL_DATABASE_URL")
    address_file = tmp_path / "address"
    driver = make_url(address).set(drivername="postgresql+psycopg")
    address_file.write_text(driver.render_as_string(hide_password=False) + "\n")
    by_file = ("--database-file", str(address_file))
    cases = [
        (named, (), "Set ORIGINAL_DATABASE_URL"),
        (named, ("--database-file", str(tmp_path / "none")), "cannot be read"),
        (named, by_file, "--issuer"),
        ({**named, "ORIGINAL_DATABASE_URL": "postgresql://a:x/hidden@b/c"}, (), "written as %2F"),
        ({**named, "ORIGINAL_DATABASE_URL": "postgresql://a:x?hidden@b/c"}, (), "written as %2F"),
        ({**named, "ORIGINAL_DATABASE_URL": "postgresql://a@[::1]:99999/c"}, (), "written as %2F"),
        (environment, ("--device-key", str(file)), "privateKeyPem"),
        (environment, ("--issuer", "clerk.example.com"), "--issuer must"),
        (
            {
                **environment,
                "OIDC_ISSUER": ISSUER,
                "OIDC_CLIENT_ID": "a",
                "OIDC_CLIENT_SECRET": "b",
            },
            ("--issuer", f"{ISSUER}/"),
            "(OIDC_ISSUER)",
        ),
        (environment, ("--organization", "Nobody"), "no organization called Nobody"),
        (environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, (), "127.0.0.1"),
    ]
    for variables, options, words in cases:
        status, output, error = await run_command(variables, *options)
        assert (status, output, error.count("\n")) == (1, "", 1), error
        assert words in error
        assert "hidden" not in error
    await original.execute("update alembic_version set version_num = 'f4d2b649e93a'")
    status, _, error = await run_command(environment, "--issuer", ISSUER)
    assert (status, "has the schema f4d2b649e93a" in error) == (1, True)


async def test_an_error_of_a_database_is_one_line_without_values(
    environment: dict[str, str], isolated_settings: Settings, original: asyncpg.Connection
) -> None:
    chosen = ("--yes", "--issuer", ISSUER, "--private-gateways", "refuse", "--organization")
    ids = [
        str(row["organization_id"])
        for row in await original.fetch("select distinct organization_id from tags")
    ]
    status, _, error = await run_command(environment, *chosen, ids[0])
    assert (status, error) == (0, "")
    of_organization = "select id from tags where organization_id = $1"
    imported, taken = [await original.fetchval(of_organization, UUID(id)) for id in ids[:2]]
    await original.execute(
        "alter table tag_assignments drop constraint tag_assignments_tag_id_fkey"
    )
    await original.execute("delete from tags where id = $1", imported)
    await original.execute("update tags set id = $1 where id = $2", imported, taken)
    connection = await asyncpg.connect(isolated_settings.dsn)
    try:
        before = tuple(await connection.fetchrow(COUNTS_QUERY))
        status, _, error = await run_command(environment, *chosen, ids[1])
        assert tuple(await connection.fetchrow(COUNTS_QUERY)) == before
    finally:
        await connection.close()
    assert (status, error.count("\n")) == (1, 1), error
    assert "pk_tags" in error
    assert str(imported) not in error
