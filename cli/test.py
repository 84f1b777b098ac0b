"""`./run test`: run the tests."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
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

ALL_OPTION = "--all"
SCALE_OPTION = "--scale"
GATEWAY_OPTION = "--gateway"
GATEWAYS_OPTION = "--gateways"
CLIENTS_OPTION = "--clients"
AGENTS_OPTION = "--agents"
GATEWAY_VERSIONS = (
    *("2026.9.6", "2026.9.4", "2026.9.3", "2026.9.1"),
    *("2026.8.2", "2026.7.1", "2026.6.35", "2026.5.28"),
)
"""The supported versions that are tested; the last one is the oldest."""

VERSION_TESTS = (
    "tests/openclaw/test_real_versions.py",
    "tests/openclaw/test_real_heartbeats.py",
    "tests/openclaw/test_real_exec_approvals.py",
)
CLIENT_TESTS = "tests/api/test_generated_clients.py"
AGENT_TESTS = "tests/agents"
AGENT_CLIENTS = ("claude", "codex", "copilot", "gemini", "opencode")
VERSION_PATTERN = re.compile(r"\d{4}\.\d{1,2}\.\d{1,3}(-[\w.]{1,20})?")
MAX_PROCESSES = 4  # each starts a PostgreSQL and maybe a browser
PROCESSES = min(MAX_PROCESSES, (os.cpu_count() or 1) + 1)  # one more, since some tests only wait
XDIST_OPTIONS = ("-n", str(PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")

RETRY_OPTION = "--retry"
MAX_RETRIED = 8  # more failures at once have a common reason
RACE_TESTS = "tests/race/"  # what fails there once is a defect
FAILED_TESTS_FILE = Path(".pytest_cache/v/cache/lastfailed")

HELP = """\
usage: ./run test [--all | --scale] [--gateway | --gateways all|VERSION,… | --clients
                  | --agents [CLIENT,…]] [--retry] [PYTEST OPTIONS]

Run the tests that state every rule, or those of them that the options name. Some of them drive
Chrome or Chromium.
  ./run test --all                    also what repeats a rule: each page in all sizes and themes,
                                      20 rounds of each race instead of 3, more killed processes
  ./run test --scale                  only what needs more than a minute: several processes, a
                                      proxy or a container, large amounts of data
  ./run test tests/services           one folder
  ./run test -k heartbeat -x          by name, up to the first that fails
  ./run test --gateway                all, and besides those that need a real OpenClaw gateway: npm
                                      installs it, once, into .cache in the home (850 MB)
  ./run test --gateways all           the full path of agents with each supported version of the
                                      gateway (850 MB each)
  ./run test --gateways 2026.7.1      the same with one version
  ./run test --clients                clients that are generated from the OpenAPI document: npm and
                                      pip install the generators, once, into .cache in the home
  ./run test --agents                 real coding agents (claude, codex, copilot, gemini, opencode):
                                      npm installs them, once, into .cache in the home (1.7 GB)
  ./run test --agents claude,codex    the same with some of them
  ./run test --retry                  the same, and at most eight that fail once more, alone: those
                                      that pass then are named as unstable. Races are not repeated
"""

NO_BROWSER = """\
The tests in tests/browser need Chrome or Chromium, and there is none on the PATH. Install one
(on Debian: apt install chromium), or leave them out: ./run test --ignore=tests/browser"""

NO_NODE = """\
These tests need Node.js and npm: npm installs programs, and Node.js runs them. One of the two
is not on the PATH (on Debian: apt install nodejs npm)."""


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    return run_command(lambda: run_tests(arguments))


def run_tests(arguments: list[str]) -> int:
    """Run pytest in the checkout and return its exit status."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start many Python processes
    os.chdir(PROJECT_ROOT)
    if ALL_OPTION in arguments:
        arguments = remove_option(arguments, ALL_OPTION)
        environment["MC_TEST_ALL"] = "1"
    if SCALE_OPTION in arguments:
        arguments = ["-m", "scale", *remove_option(arguments, SCALE_OPTION)]
        environment["MC_TEST_SCALE"] = "1"
    if GATEWAYS_OPTION in arguments:
        return run_version_tests(arguments, environment)
    if GATEWAY_OPTION in arguments:
        arguments = remove_option(arguments, GATEWAY_OPTION)
        environment["MC_TEST_GATEWAY"] = "1"
        require_node()
    if CLIENTS_OPTION in arguments:
        arguments = [CLIENT_TESTS, *remove_option(arguments, CLIENTS_OPTION)]
        environment["MC_TEST_CLIENTS"] = "1"
        require_node()
    if AGENTS_OPTION in arguments:
        arguments, environment["MC_TEST_AGENTS"] = read_agents_option(arguments)
        require_node()
    with_retry = RETRY_OPTION in arguments
    arguments = remove_option(arguments, RETRY_OPTION)
    if not arguments and not any(map(shutil.which, BROWSERS)):
        raise CommandError(NO_BROWSER)
    options = arguments or XDIST_OPTIONS
    return run_with_retry(options, environment) if with_retry else run_pytest(options, environment)


def remove_option(arguments: list[str], option: str) -> list[str]:
    return [argument for argument in arguments if argument != option]


def read_agents_option(arguments: list[str]) -> tuple[list[str], str]:
    """Return the options of pytest and the names of clients; without names all of them."""
    position = arguments.index(AGENTS_OPTION)
    before, named, after = arguments[:position], arguments[position + 1 :][:1], arguments[position:]
    if not named or named[0].startswith("-"):
        return [AGENT_TESTS, *before, *after[1:]], ",".join(AGENT_CLIENTS)
    if not {*named[0].split(",")} <= {*AGENT_CLIENTS}:
        raise CommandError(f"{AGENTS_OPTION} needs one or more of {', '.join(AGENT_CLIENTS)}.")
    return [AGENT_TESTS, *before, *after[2:]], named[0]


def run_version_tests(arguments: list[str], environment: dict[str, str]) -> int:
    """Run the tests with several versions of the gateway, and print the time of each."""
    position = arguments.index(GATEWAYS_OPTION)
    versions = parse_versions("".join(arguments[position + 1 : position + 2]))
    options = arguments[:position] + arguments[position + 2 :]
    require_node()
    results = []
    for version in versions:
        started_at = time.monotonic()
        chosen = {"MC_TEST_GATEWAY": "1", "MC_TEST_GATEWAY_VERSION": version}
        status = run_pytest([*VERSION_TESTS, *options], environment | chosen)
        seconds = time.monotonic() - started_at
        results.append(status)
        print(f"OpenClaw {version}: {'failed' if status else 'passed'} in {seconds:.0f} s.")
    return max(results)


def run_with_retry(options: Sequence[str], environment: dict[str, str]) -> int:
    """Run the tests, then a few that failed once more, alone; name those that passed then."""
    status = run_pytest(["--cache-clear", *options], environment)
    failed = [] if status == 0 else load_failed_tests()
    if not is_worth_a_retry(failed):
        return status
    status = run_pytest(["--last-failed"], environment)
    if status == 0:
        print("Unstable, passed when run again:", *failed, sep="\n  ")
    return status


def load_failed_tests() -> list[str]:
    """Return the tests of the last run that failed."""
    try:
        return list(json.loads(FAILED_TESTS_FILE.read_text()))
    except FileNotFoundError:  # the run did not start any test
        return []


def is_worth_a_retry(failed: Sequence[str]) -> bool:
    """Return whether the failures may be due to a slow machine."""
    races = [test for test in failed if test.startswith(RACE_TESTS)]
    return 0 < len(failed) <= MAX_RETRIED and not races


def parse_versions(text: str) -> Sequence[str]:
    """Return the versions that are named, separated by commas, or all supported ones."""
    if text == "all":
        return GATEWAY_VERSIONS
    versions = text.split(",")
    if not all(map(VERSION_PATTERN.fullmatch, versions)):
        raise CommandError(f"{GATEWAYS_OPTION} needs `all` or versions such as 2026.9.6,2026.8.2.")
    return versions


def require_node() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise CommandError(NO_NODE)


def run_pytest(options: Sequence[str], environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(command, env=environment).returncode  # noqa: S603


if __name__ == "__main__":
    run_as_script(main)
