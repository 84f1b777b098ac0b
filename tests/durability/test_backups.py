"""A backup that was made while people and agents worked is complete when it is restored."""

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import text

from cli.database import open_database, open_transaction
from core.config.settings import Settings
from services import audit, counters
from tests.cli.conftest import run_cli, sign_up_owner
from tests.durability.test_crashes import BROKEN_PAIRS
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tiers import repetition

WRITERS = 3
NOT_VALIDATED = """
    select conname from pg_constraint where contype = 'f' and not convalidated
    and connamespace = current_schema::regnamespace
"""


@contextmanager
def write_all_the_time(installation: Installation) -> Generator[list[str]]:
    """Create boards, tasks and comments during the block; yield the ids of the tasks."""
    stop = threading.Event()
    created: list[str] = []

    def write(number: int) -> None:
        with ApiClient(installation.url, LOCAL_TOKEN) as api:
            board = api.create_board(f"Board {number}")
            tasks = f"/boards/{board['id']}/tasks"
            while not stop.is_set():
                task = api.call("POST", tasks, title=f"Task {len(created)}")
                api.call("POST", f"{tasks}/{task['id']}/comments", message="Hello")
                created.append(task["id"])

    writers = [threading.Thread(target=write, args=[number]) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield created
    finally:
        stop.set()
        for writer in writers:
            writer.join()


@repetition
async def test_a_backup_under_load_is_complete_when_it_is_restored(tmp_path: Path) -> None:
    file, restored = tmp_path / "all.dump", tmp_path / "restored"
    environment = LOCAL_AUTH | {"LOG_LEVEL": "WARNING", "RATE_LIMIT_REQUESTS": "100000"}
    installation = Installation(tmp_path / "data", find_free_port(), environment).start()
    with ExitStack() as stack:
        stack.callback(installation.stop)
        sign_up_owner(installation).close()
        with ApiClient(installation.url, LOCAL_TOKEN) as api:
            api.call("POST", "/auth/bootstrap")
        with write_all_the_time(installation) as created:
            while len(created) < 20:
                assert threading.active_count() > WRITERS
                threading.Event().wait(0.05)
            confirmed = set(created)
            saved = run_cli("backup", str(file), data=installation.data_dir)
            assert saved.returncode == 0, saved.stderr
            assert len(created) > len(confirmed)  # others wrote meanwhile
    key = (installation.data_dir / "secret-key").read_text()
    result = run_cli("restore", str(file), data=restored, SECRET_KEY=key)
    assert result.returncode == 0, result.stderr
    async with open_database(Settings(data_dir=restored, secret_key=key)) as settings:
        async with open_transaction(settings) as session:
            tasks = set(map(str, await session.scalars(text("select id from tasks"))))
            assert confirmed <= tasks
            assert list(await session.execute(text(BROKEN_PAIRS))) == []
            assert list(await session.scalars(text(NOT_VALIDATED))) == []  # as the restore does
            assert await counters.repair_counters(session) == []
            chains = await audit.list_chains(session)
        for chain in chains:
            async with open_transaction(settings) as session:
                header = await audit.prepare_export(session, chain.organization_id, 0)
            lines = audit.stream_export(
                lambda: open_transaction(settings), chain.organization_id, header
            )
            export = b"".join([part async for part in lines])
            assert audit.verify_export(iter(export.splitlines(keepends=True))).problem is None
            assert chain.head.encode() in export
