"""A migrated database without content, whose files are copied into new installations."""

import os
import subprocess
import time
from functools import cache
from pathlib import Path

from embedded_postgres.data_location import root_data_folder
from embedded_postgres.instance import EmbeddedPostgres
from tests.support.preloaded_product import PRODUCT

MIGRATION_TIMEOUT = 300  # seconds


def copy_initial_database(data_dir: Path) -> None:
    """Copy the database into a data folder that has none: to create it takes 30 times as long."""
    files = EmbeddedPostgres(data_dir).home / "data"
    if not files.exists():
        subprocess.run(["cp", "-a", create_initial_database(root_data_folder()), files], check=True)


@cache
def create_initial_database(folder: Path) -> Path:
    """Create a database in a folder for this run of the tests, and return the folder of its files.

    `./run migrate` starts PostgreSQL for it and stops it again.
    """
    data_dir = folder / f"initial-{os.getpid()}"
    log = folder / f"initial-{os.getpid()}.log"
    with log.open("w") as errors:
        process = PRODUCT.run(["migrate", "--data", str(data_dir)], {}, errors)
    printed = process.stdout.read()
    process.stdout.close()
    assert process.wait(MIGRATION_TIMEOUT) == 0, printed + log.read_text()
    files = EmbeddedPostgres(data_dir).home / "data"
    end = time.monotonic() + MIGRATION_TIMEOUT
    while (files / "postmaster.pid").exists():  # PostgreSQL still writes its files
        assert time.monotonic() < end
        time.sleep(0.02)
    return files
