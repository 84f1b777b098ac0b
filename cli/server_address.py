"""The address of the running server, for commands that print links to it.

The file is locked while the server runs. A file that a killed server left is therefore ignored.
"""

import argparse
import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.command import load_settings
from core.config.settings import Settings

FILE_NAME = "server.json"  # in the data folder


@contextmanager
def publish_address(settings: Settings) -> Generator[None, None, None]:
    """Keep the address of this server in the data folder during the block.

    Without write access, and beside another server with this folder, nothing is written.
    """
    try:
        file = (settings.data_dir / FILE_NAME).open("a+")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(json.dumps({"host": settings.host, "port": settings.port}))
            file.flush()
        yield


def load_linked_settings(options: argparse.Namespace) -> Settings:
    """Load the settings with the address of the running server, unless an option has another."""
    settings = load_settings(options)
    address = find_address(settings.data_dir)
    if address is None or options.host is not None or options.port is not None:
        return settings
    host, port = address
    return settings.model_copy(update={"host": host}).with_bound_port(port)


def find_address(data_dir: Path) -> tuple[str, int] | None:
    """Return host and port of the server that runs with a data folder; None if there is none."""
    try:
        with (data_dir / FILE_NAME).open() as file:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            address = json.load(file)
            return str(address["host"]), int(address["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
