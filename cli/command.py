"""Shared code of all commands: options, output and the handling of expected errors."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core.config.paths import COMMAND, find_data_dir
from core.config.settings import InvalidSetting, Settings


class CommandError(Exception):
    """An expected failure of a command; its text is one sentence for the caller."""


def create_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return the argument parser of `./run name`."""
    return argparse.ArgumentParser(prog=f"{COMMAND} {name}", description=description)


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--data`."""
    default = str(find_data_dir()).replace("%", "%%")  # a percent sign begins a placeholder
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help=f"where the data is (DATA_DIR; else {default})"
    )


def repeat_data_option(settings: Settings) -> str:
    """Return ` --data DIR` for a printed command, or nothing for the default data folder."""
    if "data_dir" not in settings.model_fields_set:
        return ""
    return f" --data {shlex.quote(str(settings.data_dir))}"


def add_address_options(parser: argparse.ArgumentParser) -> None:
    """Add the options `--host` and `--port`."""
    parser.add_argument("--host", help="the address to listen at (HOST; else 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, help="the port to listen at (PORT; else 8000); 0 takes a free one"
    )


def load_settings(options: argparse.Namespace) -> Settings:
    """Load the settings, overridden by the options of the command."""
    overrides = {name: getattr(options, name, None) for name in ("host", "port", "workers")}
    return Settings.load(data_dir=options.data, **overrides)


def print_line(line: str) -> None:
    """Print a line without buffering."""
    print(line, flush=True)


def ask_for_confirmation(error: str, question: str = "") -> None:
    """Ask to type yes. Raises CommandError, with the text `error` if there is no terminal."""
    if not sys.stdin.isatty():
        raise CommandError(error)
    if question:
        print_line(question)
    try:
        answer = input("Type yes to go on: ")
    except EOFError:  # Ctrl-D
        answer = ""
    if answer.strip() != "yes":
        raise CommandError("Nothing was changed.")


def run_command(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an expected error is printed and gives 1."""
    from embedded_postgres.data_location import PostgresStartError

    try:
        return command()
    except (InvalidSetting, CommandError, PostgresStartError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run_as_script(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a command with the arguments of the process, and exit with its status."""
    sys.exit(main(sys.argv[1:]))
