"""What all commands share: their options, and how they end when they cannot go on."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from kit.settings import BadSetting, Settings


class CannotGoOn(Exception):
    """A command has to give up. Its text is one sentence for the person who called it."""


def parser(name: str, about: str) -> argparse.ArgumentParser:
    """Return a parser for the options of `./run name`."""
    return argparse.ArgumentParser(prog=f"./run {name}", description=about)


def takes_data(options: argparse.ArgumentParser) -> None:
    """Let a command take `--data`."""
    options.add_argument(
        "--data", metavar="DIR", type=Path, help="where the data is (DATA_DIR; else .data)"
    )


def takes_address(options: argparse.ArgumentParser) -> None:
    """Let a command take `--host` and `--port`."""
    options.add_argument("--host", help="the address to listen at (HOST; else 127.0.0.1)")
    options.add_argument(
        "--port", type=int, help="the port to listen at (PORT; else 8000); 0 takes a free one"
    )


def settings_for(given: argparse.Namespace) -> Settings:
    """Read the settings, with those that the options change."""
    data = given.data.expanduser().absolute() if given.data else None
    options = {name: getattr(given, name, None) for name in ("host", "port")}
    return Settings.load(data_dir=data, **options)


def say(text: str) -> None:
    """Tell the person something, at once."""
    print(text, flush=True)


def ended(command: Callable[[], int]) -> int:
    """Run a command. Whatever keeps it from going on becomes one sentence, and status 1."""
    from kit.postgres_place import CannotStart

    try:
        return command()
    except (BadSetting, CannotGoOn, CannotStart) as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def main_of(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a command as a program."""
    sys.exit(main(sys.argv[1:]))
