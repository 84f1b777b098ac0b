"""What `./run` itself does: it finds a Python, finds the command, and knows the way home."""

import os
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from bin.__main__ import COMMANDS
from tests.commands.conftest import LONG, ROOT, command

RUN = ROOT / "run"


def call(
    *words: str, run: Path = RUN, path: Path | None = None, cwd: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Call `run`, on a machine whose programs are those in `path` alone if that is given."""
    environment = {"PATH": str(path)} if path else {**os.environ, "MC_ENV_FILE": os.devnull}
    return subprocess.run(
        [run, *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        env=environment,
    )


def test_help_lists_every_command() -> None:
    told = call("--help")
    assert told.returncode == 0
    assert re.findall(r"^  (\w+) ", told.stdout, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    told = call(name, "--help")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("usage: ./run")


def test_a_command_that_is_not_there_gets_the_list() -> None:
    refused = call("fly")
    assert refused.returncode == 2
    assert "There is no command fly" in refused.stderr
    assert "doctor" in refused.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with nothing installed, on a machine with nothing but a shell."""
    checkout = tmp_path / "checkout"
    (checkout / "bin").mkdir(parents=True)
    shutil.copy(RUN, checkout)
    for file in (ROOT / "bin").glob("*.py"):
        shutil.copy(file, checkout / "bin")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return checkout


def test_without_python_there_is_one_sentence(bare: Path) -> None:
    refused = call(run=bare / "run", path=bare.parent / "programs")
    assert refused.returncode == 1
    assert re.fullmatch(r"Mission Control needs Python 3\.11[^\n]+\n", refused.stderr)


def test_a_python_that_does_not_work_is_passed_over(bare: Path) -> None:
    programs = bare.parent / "programs"
    broken = programs / "python3.13"
    broken.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    broken.chmod(0o755)
    (programs / "python3").symlink_to(ROOT / ".venv/bin/python")
    told = call("--help", run=bare / "run", path=programs)
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""


def test_paths_are_taken_from_where_one_stands(tmp_path: Path) -> None:
    told = call("doctor", "--data", "here", "--port", "0", cwd=tmp_path)
    assert told.returncode == 0, told.stdout
    assert (tmp_path / "here").is_dir()


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    told = command("doctor", "--port", "0", data=tmp_path / "data")
    assert told.returncode == 0, told.stdout
    assert {line[:8] for line in told.stdout.splitlines() if "kept in" not in line} == {"ok      "}


def test_the_doctor_says_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as other:
        told = command("doctor", "--port", str(other.getsockname()[1]), data=data)
    assert told.returncode == 1
    assert re.search(r"^not ok  port: .*--port", told.stdout, re.MULTILINE)
    told = command("doctor", data=data, SESSION_DAYS="never")
    assert told.returncode == 1
    assert re.search(r"^not ok  settings: SESSION_DAYS ", told.stdout, re.MULTILINE)


def test_the_commands_may_be_run() -> None:
    for file in (RUN, ROOT / ".ci/run"):
        assert file.stat().st_mode & stat.S_IXUSR
