"""`./run` finds a Python, the command and the checkout."""

import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cli.__main__ import COMMANDS, main
from cli.command import CommandError, ask_for_confirmation
from core.clock import now
from core.event_loop import LoopHold, add_hold
from core.security.encryption import KEY_FILE
from embedded_postgres.instance import EmbeddedPostgres
from tests.cli.conftest import ROOT, TIMEOUT, run_cli, sign_up_owner
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.installation import LOCAL_TOKEN, ApiClient, Installation, find_free_port
from tests.support.tiers import repetition

RUN = ROOT / "run"
PRIVATE_HOSTS = ("10.255.255.1", "10.255.255.2")


def call_run_script(
    *arguments: str, run: Path = RUN, path: Path | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Call `run`; if `path` is given, it is the only folder on the PATH."""
    environment = {"PATH": str(path)} if path else {**os.environ, "MC_ENV_FILE": os.devnull}
    return subprocess.run(
        [run, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment,
    )


def test_help_lists_every_command() -> None:
    result = call_run_script("--help")
    assert result.returncode == 0
    assert re.findall(r"^  ([\w-]+) ", result.stdout, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith("usage: ./run")


def test_the_script_passes_the_options_of_a_command() -> None:
    result = call_run_script("link", "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage: ./run link")


def test_a_command_succeeds_without_an_output() -> None:
    words = ["sh", "-c", 'exec "$0" "$@" >&-', RUN, "--version"]
    environment = {**os.environ, "MC_ENV_FILE": os.devnull}
    result = subprocess.run(words, env=environment, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("words", [pytest.param(["--help"], marks=repetition), ["link", "--help"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_ends_silently_if_nobody_reads_its_output(
    words: list[str], unbuffered: str
) -> None:
    """As `./run … | head` does."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {"MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": unbuffered}
    result = subprocess.run(
        [RUN, *words],
        env=os.environ | environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
    )
    os.close(writer)
    assert result.stderr == b""


def test_an_unknown_command_prints_the_list() -> None:
    result = call_run_script("fly")
    assert result.returncode == 2
    assert "There is no command fly" in result.stderr
    assert "doctor" in result.stderr


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """A checkout without .venv, next to a folder with only a shell as programs."""
    checkout = tmp_path / "checkout"
    for folder in ("cli", "core/config"):
        (checkout / folder).mkdir(parents=True)
    shutil.copy(RUN, checkout)
    for file in [*ROOT.glob("cli/*.py"), *ROOT.glob("core/*.py"), *ROOT.glob("core/config/*.py")]:
        shutil.copy(file, checkout / file.relative_to(ROOT))
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(str(shutil.which(name)))
    return checkout


def test_a_missing_python_gives_one_sentence(bare_checkout: Path) -> None:
    result = call_run_script(run=bare_checkout / "run", path=bare_checkout.parent / "programs")
    assert result.returncode == 1
    assert re.fullmatch(r"Mission Control needs Python 3\.11[^\n]+\n", result.stderr)


def test_a_broken_python_is_skipped(bare_checkout: Path) -> None:
    programs = bare_checkout.parent / "programs"
    broken = programs / "python3.13"
    broken.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    broken.chmod(0o755)
    (programs / "python3").symlink_to(ROOT / ".venv/bin/python")
    for option in ("--help", "--version"):  # for these nothing is installed
        result = call_run_script(option, run=bare_checkout / "run", path=programs)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""


def test_paths_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    result = call_run_script("doctor", "--data", "here", "--port", "0", cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert (tmp_path / "here").is_dir()


def test_the_doctor_warns_about_an_untrusted_proxy_and_a_held_event_loop(tmp_path: Path) -> None:
    data, address = tmp_path / "data", "https://board.example.com"
    data.mkdir()
    add_hold(data, LoopHold(0.345, "POST /boards (run_asgi)", now()))
    result = run_cli("doctor", "--port", "0", data=data, BASE_URL=address)
    assert result.returncode == 0
    assert re.search(r"^warning proxy: .*TRUSTED_PROXIES", result.stdout, re.MULTILINE)
    assert re.search(
        r"^warning event loop: .* 345 ms by POST /boards \(run_asgi\) at ",
        *(result.stdout, re.MULTILINE),
    )


def test_the_doctor_reports_problems(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.socket() as other_socket:  # which does not listen: nobody waits for its answer
        other_socket.bind(("127.0.0.1", 0))
        result = run_cli("doctor", "--port", str(other_socket.getsockname()[1]), data=data)
    assert result.returncode == 1
    assert re.search(r"^not ok  port: .*--port", result.stdout, re.MULTILINE)
    result = run_cli("doctor", data=data, SESSION_DAYS="never")
    assert result.returncode == 1
    assert re.search(r"^not ok  settings: SESSION_DAYS ", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [
        ["backup", "all.backup"],
        ["link"],
        *(
            pytest.param(words.split(), marks=repetition)
            for words in (
                "password olga@example.com",
                "stop-agents",
                "resume-agents",
                "address",
                "address https://control.example.com --yes",
                "audit list",
                "audit export installation all.jsonl",
                "rotate-key",
            )
        ),
    ],
    ids=" ".join,
)
def test_a_command_finds_no_database_in_a_folder_with_a_wrong_name(
    tmp_path: Path, words: list[str]
) -> None:
    """A backup of it would be empty."""
    data = tmp_path / "wrong"
    result = run_cli(*(str(tmp_path / one) if "all." in one else one for one in words), data=data)
    assert result.returncode == 1
    assert result.stderr == f"There is no database in {data}. Name the folder with --data DIR.\n"
    assert list(tmp_path.iterdir()) == []


async def test_the_doctor_checks_what_readyz_checks(tmp_path: Path) -> None:
    data = tmp_path / "data"
    INITIAL_DATABASE.copy_into(data)
    assert run_cli("link", "--port", "0", data=data).returncode == 0
    result = run_cli("doctor", "--port", "0", data=data)
    assert result.returncode == 0, result.stdout
    lines = [line for line in result.stdout.splitlines() if "kept in" not in line]
    assert {line[:8].strip() for line in lines if line[0] != " "} == {"ok"}
    for name in ("rights", "key", "write", "functions", "clock"):
        assert re.search(rf"^ok      {name}: ", result.stdout, re.MULTILINE)
    postgres = EmbeddedPostgres(data)
    connection = await asyncpg.connect(postgres.start())
    name = await connection.fetchval("select current_database()")
    await connection.execute("grant execute on function delete_audit_chain to public")
    await connection.execute(f'alter database "{name}" set default_transaction_read_only = on')
    await connection.close()
    result = run_cli("doctor", "--port", "0", data=data, SECRET_KEY="k" * 32)
    postgres.stop()
    assert result.returncode == 1
    for problem in ("key: .*rotate-key --lost", "write: .*read-only", "functions: .*./run migrate"):
        assert re.search(rf"^not ok  {problem}", result.stdout, re.MULTILINE), result.stdout


def test_a_damaged_key_file_is_named_by_the_doctor_and_at_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    INITIAL_DATABASE.copy_into(data)
    assert run_cli("link", "--port", "0", data=data).returncode == 0
    (data / KEY_FILE).write_text("")
    problem = "The file secret-key is empty or not a text"
    result = run_cli("doctor", "--port", "0", data=data)
    assert result.returncode == 1
    assert f"not ok  key: {problem}" in result.stdout
    result = run_cli("worker", data=data)
    assert result.returncode == 1
    assert problem in result.stderr


async def test_the_doctor_checks_the_port_and_names_gateways_with_problems(
    installation: Installation,
) -> None:
    """The texts of gateways forge no lines of it."""
    gateway: dict[str, Any] = {
        "name": "Workshop",
        "url": "ws://127.0.0.1:9",
        "workspace_root": "/agents",
    }
    sign_up_owner(installation).close()
    with ApiClient(installation.url, LOCAL_TOKEN) as owner:
        owner.call("POST", "/gateways", **gateway)
        for host in PRIVATE_HOSTS:
            gateway |= {"name": host, "url": f"ws://{host}:9"}
            owner.call("POST", "/gateways", **gateway)
    in_use = run_cli("doctor", data=installation.data_dir)
    assert f"port: {installation.port} is in use by a running Mission Control" in in_use.stdout
    free = find_free_port()
    result = run_cli("doctor", "--port", str(free), data=installation.data_dir)
    assert result.returncode == 0
    assert f"port: {free} is free" in result.stdout
    expected = "the gateway Workshop: Nothing listens on 127.0.0.1, port 9"
    assert expected in result.stdout
    assert "Command: openclaw gateway run" in result.stdout
    setting = "with this setting: GATEWAY_ALLOW_PRIVATE="  # one that allows all of them
    found = [line.split(setting)[1] for line in result.stdout.splitlines() if setting in line]
    assert len(found) == len(PRIVATE_HOSTS)
    assert {*PRIVATE_HOSTS} <= {*found[0].split(",")}
    assert len({*found}) == 1
    installation.stop()
    postgres = EmbeddedPostgres(installation.data_dir)
    connection = await asyncpg.connect(postgres.start())
    sentence = "It says: broken\nok      key: \x1b[2Jfine"
    check = {"name": "agents", "state": "failed", "sentence": sentence, "command": None}
    await connection.execute("update gateways set checks = $1", json.dumps([check]))
    await connection.close()
    result = run_cli("doctor", "--port", "0", data=installation.data_dir)
    postgres.stop()
    assert "the gateway Workshop: It says: broken ok key: [2Jfine\n" in result.stdout


class Terminal(io.StringIO):
    """What somebody types; Ctrl-D after it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("typed", ["", "no\n", "y\n", "YES\n"])
def test_only_yes_confirms(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with pytest.raises(CommandError, match="Nothing was changed"):
        ask_for_confirmation("no terminal")
    monkeypatch.setattr(sys, "stdin", Terminal(" yes \n"))
    ask_for_confirmation("no terminal")


def test_the_scripts_are_executable() -> None:
    for file in (RUN, ROOT / ".ci/run"):
        assert file.stat().st_mode & stat.S_IXUSR
