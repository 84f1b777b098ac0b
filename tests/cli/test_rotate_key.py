"""`./run rotate-key`: another key, with a kill in the middle, and a key that is lost."""

import asyncio
import hashlib
import hmac
import signal
from pathlib import Path
from tempfile import TemporaryFile

import asyncpg
import httpx2

from core.security.encryption import KEY_FILE, PREVIOUS_KEY_FILE, SecretKey
from embedded_postgres.instance import EmbeddedPostgres
from tests.cli.conftest import run_cli, sign_up_owner
from tests.support.installation import LOCAL_TOKEN, ApiClient, Installation
from tests.support.preloaded_product import PRODUCT

WEBHOOKS = 5
SECRET = "the secret of the sender"
BODY = b"{}"
SIGNATURE = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
OTHER_KEY = "a key that is long enough, but of another installation"
SECRETS_QUERY = "select encrypted_secret from board_webhooks order by id"
LOCK_QUERY = (
    "select from board_webhooks where id = (select max(id::text)::uuid from board_webhooks)"
)
WAITING_QUERY = "select exists (select from pg_locks where not granted)"


def create_webhooks(installation: Installation) -> list[str]:
    """Create an owner, a board and webhooks with a secret; return the addresses of the webhooks."""
    sign_up_owner(installation).close()
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        api.call("POST", "/auth/bootstrap")
        path = f"/boards/{api.create_board()['id']}/webhooks"
        created = [api.call("POST", path, description="A", secret=SECRET) for _ in range(WEBHOOKS)]
    return [f"/api/v1{path}/{one['id']}" for one in created]


def send_to_webhooks(installation: Installation, paths: list[str]) -> set[int]:
    """Send a signed request to each webhook; return the statuses of the responses."""
    headers = {"X-Hub-Signature-256": SIGNATURE, "Content-Type": "application/json"}
    with httpx2.Client(base_url=installation.url, timeout=20) as client:
        return {client.post(path, content=BODY, headers=headers).status_code for path in paths}


async def list_key_ids(connection: asyncpg.Connection) -> list[str]:
    return [row[0].split(".")[1] for row in await connection.fetch(SECRETS_QUERY)]


async def kill_during_rotation(data: Path, connection: asyncpg.Connection) -> None:
    """Start the command, and kill it when it waits for the last webhook."""
    with TemporaryFile("w+") as errors:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"{LOCK_QUERY} for update")
        process = PRODUCT.run(["rotate-key", "--data", str(data)], {}, errors)
        async with asyncio.timeout(60):
            while not await connection.fetchval(WAITING_QUERY):
                assert process.poll() is None
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        process.stdout.close()
        await transaction.rollback()


async def test_a_rotation_that_is_killed_continues_and_the_server_runs_meanwhile(
    installation: Installation,
) -> None:
    data = installation.data_dir
    paths = create_webhooks(installation)
    refused = run_cli("rotate-key", data=data)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "stop it" in refused.stderr
    installation.stop()
    old_key = (data / KEY_FILE).read_text()
    postgres = EmbeddedPostgres(data)
    connection = await asyncpg.connect(postgres.start())
    try:
        await kill_during_rotation(data, connection)
        ids = await list_key_ids(connection)
        new_id = SecretKey((data / KEY_FILE).read_text().strip()).id
        old_id = SecretKey(old_key.strip()).id
        assert ids == [new_id] * (WEBHOOKS - 1) + [old_id]
        await asyncio.to_thread(installation.start)
        assert await asyncio.to_thread(send_to_webhooks, installation, paths) == {202}
        result = await asyncio.to_thread(run_cli, "rotate-key", data=data)
        assert result.returncode == 0, result.stderr
        assert await list_key_ids(connection) == [new_id] * WEBHOOKS
        assert await asyncio.to_thread(send_to_webhooks, installation, paths) == {202}
    finally:
        await connection.close()
        postgres.stop()
    installation.stop()
    assert not (data / PREVIOUS_KEY_FILE).exists()
    assert (data / f"{KEY_FILE}.{old_id}").read_text() == old_key
    installation.start()
    assert send_to_webhooks(installation, paths) == {202}


def test_another_key_starts_nothing_until_its_secrets_are_removed(
    installation: Installation,
) -> None:
    data = installation.data_dir
    paths = create_webhooks(installation)
    running = run_cli("rotate-key", "--lost", "--yes", data=data, SECRET_KEY=OTHER_KEY)
    assert running.returncode == 1
    installation.stop()
    postgres = EmbeddedPostgres(data)  # used by this test, so that no command starts and stops it
    postgres.start()
    for words in (("serve", "--port", "0"), ("worker",), ("link",), ("rotate-key",)):
        result = run_cli(*words, data=data, SECRET_KEY=OTHER_KEY)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "rotate-key --lost" in result.stderr
    unconfirmed = run_cli("rotate-key", "--lost", data=data, SECRET_KEY=OTHER_KEY)
    assert (unconfirmed.returncode, "--yes" in unconfirmed.stderr) == (1, True)
    removed = run_cli("rotate-key", "--lost", "--yes", data=data, SECRET_KEY=OTHER_KEY)
    assert removed.returncode == 0, removed.stderr
    assert "Set a new secret for these incoming webhooks:\n    Launch: A" in removed.stdout
    assert f"{WEBHOOKS} secrets were removed" in removed.stdout
    installation.environment |= {"SECRET_KEY": OTHER_KEY}
    installation.start()
    postgres.stop()
    assert send_to_webhooks(installation, paths) == {503}
