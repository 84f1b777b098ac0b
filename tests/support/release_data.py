"""Store the data of this release for the tests of later ones: docs/releasing.md.

`python -m tests.support.release_data` writes tests/releases/VERSION/backup.dump.xz: the demo after
some work of its agents, with an owner who has a password.
"""

import asyncio
import lzma
import os
import tempfile
from pathlib import Path

import asyncpg

from cli.postgres_programs import PostgresPrograms, fetch_server_version
from core.config.settings import Settings
from core.version import VERSION
from tests.cli.conftest import run_cli, sign_up_owner
from tests.support.installation import Installation, find_free_port
from tests.support.secret_key import SECRET_KEY

RELEASES = Path(__file__).parent.parent / "releases"
FILE_NAME = "backup.dump.xz"
MIN_EVENTS = 150
MAX_BYTES = 300_000


def store_release() -> Path:
    """Run the demo in a temporary folder, and store a backup of it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        data = Path(folder) / "data"
        environment = {"SECRET_KEY": SECRET_KEY, "MC_PG_ELSEWHERE": folder}
        os.environ |= environment
        server = Installation(data, find_free_port(), environment).start()
        sign_up_owner(server).close()
        server.stop()
        server.words = ("demo", "--speed", "100")
        server.start()
        try:
            asyncio.run(_wait_for_events(server))
            saved = run_cli("backup", f"{folder}/backup", data=data)
            assert saved.returncode == 0, saved.stderr
            content = lzma.compress((Path(folder) / "backup").read_bytes(), preset=9)
        finally:
            server.stop()
    assert len(content) <= MAX_BYTES
    file = RELEASES / VERSION / FILE_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def restore_release(version: str, settings: Settings) -> None:
    """Restore the stored database of a release into a database without a schema."""
    major = asyncio.run(fetch_server_version(settings.dsn))
    programs = PostgresPrograms.for_server(settings, major)
    options = ("--exit-on-error", "--no-owner", "--no-privileges")
    with tempfile.NamedTemporaryFile() as file:
        file.write(lzma.decompress((RELEASES / version / FILE_NAME).read_bytes()))
        file.flush()
        programs.run_program("pg_restore", *options, file.name, dsn=settings.dsn)


async def _wait_for_events(server: Installation) -> None:
    connection = await asyncpg.connect(server.database().start())
    while await connection.fetchval("select count(*) from activity_events") < MIN_EVENTS:
        await asyncio.sleep(0.5)
    await connection.close()


if __name__ == "__main__":
    print(store_release())
