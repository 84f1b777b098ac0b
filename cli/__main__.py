"""Run the command that is named on the command line of `./run` or `mission-control`."""

import os
import select
import signal
import sys
from importlib import import_module

from core.config.paths import COMMAND, IS_CHECKOUT
from core.version import VERSION

COMMANDS = {
    "serve": "start Mission Control; the default command",
    "demo": "fill an organization with a demo and run it; --clean removes it",
    "backup": "write all data into a file",
    "restore": "replace all data with that of a file",
    "import-original": "import the organizations of the original Mission Control",
    "address": "print or change the address that people and agents use; --yes does not ask",
    "link": "print a new link for the first owner",
    "password": "print a link for a user who cannot sign in to choose another password",
    "stop-agents": "stop all agents at once; --reason says why",
    "resume-agents": "resume all agents that were stopped",
    "worker": "run the background jobs in a separate process",
    "rotate-key": "encrypt all stored secrets with another key; --lost if the key is lost",
    "migrate": "migrate the database to this version",
    "audit": "export, verify or list the audits; drop old records after an export",
    "doctor": "check the installation, and name what is wrong",
}
if IS_CHECKOUT:  # a wheel contains neither these nor what they need
    COMMANDS |= {
        "update": "install a newer release, or go back by one",
        "test": "run the tests; options go to pytest",
        "check": "check formatting, types and layers of the code",
        "bench": "measure the speed of requests, pages and streams",
        "translations": "update the catalogues of the pages' texts",
    }

LONG_RUNNING = {"serve", "demo", "worker"}

COMMAND_LIST = "\n".join(f"  {name:15} {summary}" for name, summary in COMMANDS.items())

HELP = f"""\
usage: {COMMAND} [COMMAND] [OPTIONS]

{COMMAND_LIST}

{COMMAND} COMMAND --help lists the options of a command, for example {COMMAND} serve --help:
--port, --data and others. {COMMAND} --version prints the version. Settings: docs/configuration.md
"""


def main(arguments: list[str]) -> int:
    """Run a command and return its exit status: 0 for success."""
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if arguments == ["--version"]:
        print(f"Mission Control {VERSION}")
        return 0
    if not arguments or arguments[0].startswith("-"):
        arguments = ["serve", *arguments]
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"There is no command {name}. The commands are:\n\n{HELP}", file=sys.stderr, end="")
        return 2
    module = import_module(f"cli.{name.replace('-', '_')}")
    if name not in LONG_RUNNING or not IS_CHECKOUT:
        return module.main(rest)
    with import_module("cli.checkout").run_from_checkout():
        return module.main(rest)


def is_unread() -> bool:
    """Return whether nobody reads the output any more, as in `./run … | head`."""
    poll = select.poll()
    if sys.stdout is not None:
        poll.register(sys.stdout, 0)
    return bool(poll.poll(0))


if __name__ == "__main__":
    try:
        try:
            status = main(sys.argv[1:])
        finally:  # also before the end by SystemExit
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # it is closed at the start of the process
                    stream.flush()
    except BrokenPipeError:
        if not is_unread():
            raise
        status = 128 + signal.SIGPIPE  # as a shell shows it
    os._exit(status)  # Python would visit all objects, for seconds after thousands of streams
