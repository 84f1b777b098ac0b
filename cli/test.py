"""`./run test`: run the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cli.command import CommandError, run_as_script, run_command

PROJECT_ROOT = Path(__file__).parent.parent
BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)

GATEWAY_OPTION = "--gateway"
MAX_PROCESSES = 4  # each starts a PostgreSQL and maybe a browser
PROCESSES = min(MAX_PROCESSES, (os.cpu_count() or 1) + 1)  # one more, since some tests only wait
XDIST_OPTIONS = ("-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")

HELP = """\
usage: ./run test [--gateway] [PYTEST OPTIONS]

Run the tests: all of them, or those that the options name. Some of them drive Chrome or Chromium.
  ./run test tests/services           one folder
  ./run test -k heartbeat -x          by name, up to the first that fails
  ./run test --gateway                all, and besides those that need a real OpenClaw gateway: npm
                                      installs it, once, into .cache in the home (850 MB)
"""

NO_BROWSER = """\
The tests in tests/browser need Chrome or Chromium, and there is none on the PATH. Install one
(on Debian: apt install chromium), or leave them out: ./run test --ignore=tests/browser"""


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    return run_command(lambda: run_tests(arguments))


def run_tests(arguments: list[str]) -> int:
    """Run pytest in the checkout and return its exit status."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start many Python processes
    if GATEWAY_OPTION in arguments:
        arguments = [argument for argument in arguments if argument != GATEWAY_OPTION]
        environment["MC_TEST_GATEWAY"] = "1"
        if not shutil.which("npm"):
            raise CommandError("A real gateway is installed by npm, and there is none on the PATH.")
    if not arguments and not any(map(shutil.which, BROWSERS)):
        raise CommandError(NO_BROWSER)
    os.chdir(PROJECT_ROOT)
    xdist_options = () if arguments else XDIST_OPTIONS
    command = [sys.executable, "-m", "pytest", *xdist_options, *arguments]
    return subprocess.run(command, env=environment).returncode  # noqa: S603


if __name__ == "__main__":
    run_as_script(main)
