"""The address of the running server, for commands that print links to it.

The file is locked while the server runs. A file that a killed server left is therefore ignored.
"""

import argparse
import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cli.command import load_settings
from core.config.parsers import parse_optional_address
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
            published = {"host": settings.host, "port": settings.port}
            base_url = {"base_url": settings.base_url} if settings.is_base_url_set else {}
            file.write(json.dumps(published | base_url))
            file.flush()
        yield


class ServerAddress(NamedTuple):
    """Where a server listens, and the BASE_URL that it was given; empty without one."""

    host: str
    port: int
    base_url: str = ""


def load_linked_settings(options: argparse.Namespace) -> Settings:
    """Load the settings with the address of the running server, unless an option has another."""
    settings = load_settings(options)
    address = find_address(settings.data_dir)
    if address is None or options.host is not None or options.port is not None:
        return settings
    linked = settings.model_copy(update={"host": address.host}).with_bound_port(address.port)
    if address.base_url and not settings.is_base_url_set:
        return linked.model_copy(update={"base_url": address.base_url})
    return linked


def find_address(data_dir: Path) -> ServerAddress | None:
    """Return the address of the server that runs with a data folder; None if there is none."""
    try:
        with (data_dir / FILE_NAME).open() as file:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            found = json.load(file)
            base_url = parse_optional_address(found.get("base_url", ""))
            return ServerAddress(str(found["host"]), int(found["port"]), base_url)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
