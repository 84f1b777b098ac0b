"""The stored address: ./run address, and processes with another BASE_URL."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.cli.conftest import run_cli, start_installation
from tests.support.installation import Installation, find_free_port, run_separate_worker
from tests.support.tiers import repetition

ADDRESS_CHANGED = "installation.address_changed"
OTHER = "https://control.example.com"


def change_address(installation: Installation, *options: str) -> list[str]:
    changed = run_cli("address", OTHER, *options, data=installation.data_dir)
    assert (changed.returncode, changed.stderr) == (0, "")
    return changed.stdout.splitlines()


@pytest.fixture(scope="module")
def shared_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation for the tests that do not change its address."""
    with start_installation(tmp_path_factory.mktemp("address")) as installation:
        yield installation


@repetition
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["worker"]])
def test_a_process_with_another_base_url_does_not_start(
    shared_installation: Installation, command: list[str]
) -> None:
    """See test_a_start_holds_the_event_loop_for_no_imports and the change of an address below."""
    refused = run_cli(*command, data=shared_installation.data_dir, BASE_URL=OTHER)
    own = shared_installation.url
    assert (refused.returncode, refused.stderr) == (
        1,
        f"BASE_URL is {OTHER}, but people and agents of this database use {own}: set BASE_URL to"
        f" {own}, or change the address with ./run address {OTHER} --data"
        f" {shared_installation.data_dir}\n",
    )


def test_a_process_without_base_url_uses_the_stored_address(installation: Installation) -> None:
    installation.stop()
    installation.port = find_free_port()
    first_url = run_cli("address", data=installation.data_dir).stdout.splitlines()[-1]
    assert first_url != installation.url
    installation.start()
    installation.environment = installation.environment | {"BASE_URL": first_url}
    with run_separate_worker(installation):
        pass
    unchanged = run_cli("address", data=installation.data_dir)
    assert unchanged.stdout.splitlines()[-1] == first_url
    assert installation.link.startswith(f"{installation.url}/first-run#")


def test_the_address_is_changed_after_a_preview(installation: Installation, tmp_path: Path) -> None:
    unconfirmed = run_cli("address", OTHER, data=installation.data_dir)
    assert unconfirmed.returncode == 1
    assert f"The address changes from {installation.url} to {OTHER}." in unconfirmed.stdout
    assert unconfirmed.stderr == "Nothing was changed: add --yes to change the address.\n"

    assert change_address(installation, "--yes")[-1].startswith(f"The address is {OTHER}. Restart")
    assert change_address(installation)[-1] == f"The address is {OTHER} already."
    file = tmp_path / "audit.jsonl"
    run_cli("audit", "export", "installation", str(file), data=installation.data_dir)
    [record] = [line for line in file.read_text().splitlines() if ADDRESS_CHANGED in line]
    assert OTHER in record
    installation.stop()
    refused = run_cli("worker", data=installation.data_dir, BASE_URL=installation.url)
    assert refused.returncode == 1
    installation.environment = installation.environment | {"BASE_URL": OTHER}
    installation.start()

    wrong = run_cli("address", "control.example.com", data=installation.data_dir)
    assert wrong.stderr == "The address must be an address like https://control.example.com.\n"


async def test_a_change_of_the_address_without_a_record_is_none(
    shared_installation: Installation,
) -> None:
    data = shared_installation.data_dir
    connection = await asyncpg.connect(shared_installation.database().dsn)
    try:
        await connection.execute(
            "alter table audit_records add constraint refused"
            f" check (action <> '{ADDRESS_CHANGED}')"
        )
        changed = run_cli("address", OTHER, "--yes", data=data)
        await connection.execute("alter table audit_records drop constraint refused")
    finally:
        await connection.close()
    assert changed.returncode == 1
    assert run_cli("address", data=data).stdout.splitlines()[-1] == shared_installation.url
