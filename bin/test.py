"""`./run test`: runs the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bin.command import CannotGoOn, ended, main_of

TOP = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

GATEWAY = "--gateway"
MOST_AT_ONCE = 4  # processes; each brings a PostgreSQL and maybe a browser
AT_ONCE = min(MOST_AT_ONCE, (os.cpu_count() or 1) + 1)  # some tests only wait
SIDE_BY_SIDE = ("-n", str(AT_ONCE), "--dist", "loadfile", "--no-loadscope-reorder")

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
    return ended(lambda: run(arguments))


def run(arguments: list[str]) -> int:
    """Run pytest, in the checkout."""
    environment = dict(os.environ)
    if GATEWAY in arguments:
        arguments = [argument for argument in arguments if argument != GATEWAY]
        environment["MC_TEST_GATEWAY"] = "1"
        if not shutil.which("npm"):
            raise CannotGoOn("A real gateway is installed by npm, and there is none on the PATH.")
    if not arguments and not any(map(shutil.which, BROWSERS)):
        raise CannotGoOn(NO_BROWSER)
    os.chdir(TOP)
    at_once = () if arguments else SIDE_BY_SIDE
    command = [sys.executable, "-m", "pytest", *at_once, *arguments]
    return subprocess.run(command, env=environment).returncode  # noqa: S603


if __name__ == "__main__":
    main_of(main)
