"""`./run test --retry`: a few failed tests run again, alone."""

import os
from pathlib import Path

import pytest

from cli.test import load_failed_tests, run_with_retry

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a test that fails once, and one that passes."""
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize("broken_tests", [0, 3])
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
