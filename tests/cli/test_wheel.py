"""The wheel: what an operator without a checkout installs, and the command in it."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from cli.__main__ import COMMANDS
from core.version import VERSION
from tests.cli.conftest import OWNER, ROOT, SAME_SITE, TIMEOUT
from tests.support.installation import find_free_port
from tests.support.tiers import repetition

CHECKOUT_COMMANDS = {"update", "test", "check", "bench", "translations"}

pytestmark = repetition  # another start, of the same code


@dataclass(frozen=True)
class InstalledWheel:
    """An environment that contains the wheel and its dependencies, and an empty folder."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of an operator, with nothing that leads to the checkout."""
        kept = ("MC_PG_ELSEWHERE", "MC_PG_OPTIONS")
        found = {name: os.environ[name] for name in kept if name in os.environ}
        return found | {"PATH": os.defpath, "HOME": str(self.folder), "PYTHONUNBUFFERED": "1"}

    def run(
        self, program: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment and wait for its end."""
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )


def run_module(*words: str | Path) -> None:
    """Run a module with the Python of the tests. Nothing is downloaded."""
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> InstalledWheel:
    """The wheel of this checkout in an environment of its own, with the packages of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    run_module("hatchling", "build", "--target", "wheel", "--directory", folder)
    [file] = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin/python"
    run_module("pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", file)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    empty = folder / "empty"
    empty.mkdir()
    port = find_free_port()
    (empty / "mission-control.env").write_text(f"PORT={port}\nLOG_LEVEL=WARNING\n")
    return InstalledWheel(environment / "bin", empty, port)


@pytest.fixture
def first_run_link(wheel: InstalledWheel) -> Iterator[str]:
    """The link that a started wheel prints. It must stop without an error."""
    process = subprocess.Popen(
        [wheel.programs / "mission-control"],
        cwd=wheel.folder,
        env=wheel.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ready."):
            break
    try:
        yield re.findall(r"http://\S+/first-run#\S+", "".join(lines))[0]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
        process.stdout.close()


def test_the_command_of_a_wheel_lists_what_operators_need(wheel: InstalledWheel) -> None:
    assert wheel.run("python", "-c", "import app").returncode != 0  # the checkout is not there
    assert wheel.run("mission-control", "--version").stdout == f"Mission Control {VERSION}\n"
    listed = wheel.run("mission-control", "--help").stdout
    assert "./run" not in listed
    names = re.findall(r"^  ([\w-]+) ", listed, re.MULTILINE)
    assert names == [name for name in COMMANDS if name not in CHECKOUT_COMMANDS]
    unknown = wheel.run("mission-control", "test")
    assert (unknown.returncode, unknown.stderr[:30]) == (2, "There is no command test. The ")


@pytest.mark.parametrize(
    ("folder", "place"),
    [("/srv/100 %", "/srv/100 %"), ("relative", "~/.local/share"), ("", "~/.local/share")],
)
def test_a_wheel_keeps_data_in_the_data_folder_of_the_account(
    wheel: InstalledWheel, folder: str, place: str
) -> None:
    wide = {"COLUMNS": "1000"}
    shown = wheel.run("mission-control", "migrate", "--help", XDG_DATA_HOME=folder, **wide).stdout
    assert shown.startswith("usage: mission-control migrate")
    assert f"else {place}/mission-control)" in shown


def test_a_wheel_serves_people_and_agents_and_is_backed_up(
    wheel: InstalledWheel, first_run_link: str
) -> None:
    with httpx2.Client(base_url=wheel.url, headers=SAME_SITE, timeout=TIMEOUT) as browser:
        assert browser.get("/healthz").json() == {"ok": True, "version": VERSION}
        assert "<code>mission-control link</code>" in browser.get("/sign-in").text
        assert "Anmelden" in browser.get("/sign-in", headers={"Accept-Language": "de"}).text
        path, _, link = first_run_link.removeprefix(wheel.url).partition("#")
        assert browser.post(path, data={"link": link, **OWNER}).status_code == 303
        browser.post("/welcome/organization", data={"name": "Olga & Co"})
        browser.post("/welcome/board", data={"name": "Launch"})
        board_id = re.findall(r'name="board_id" value="([\w-]+)"', browser.get("/welcome").text)[0]
        values = {"name": "Juniper", "board_id": board_id, "first_task": "Say hello"}
        sent = browser.post("/welcome/agent", data=values)
        shown = browser.get(sent.headers["Location"]).text
        token = re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', shown)[0]
        called = browser.post("/api/v1/agent/heartbeat", headers={"X-Agent-Token": token})
        assert called.status_code == 200, called.text
        board = browser.get(f"/boards/{board_id}").text
        assert "Say hello" in board
        for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', board):
            assert browser.get(address).status_code == 200, address
        for address in ("/docs", "/docs/agents", "/openapi.json", "/client.py", "/souls"):
            assert browser.get(address).status_code == 200, address

    (wheel.folder / "client.py").write_text(httpx2.get(f"{wheel.url}/client.py").text)
    address = ("--url", wheel.url, "--token", token)
    connected = wheel.run("python", "client.py", "connect", "claude", *address, "--yes")
    assert connected.returncode == 0, connected.stderr
    checked = wheel.run("mission-control", "doctor")
    assert checked.returncode == 0, checked.stdout
    assert f"port: {wheel.port} is in use by a running Mission Control" in checked.stdout
    saved = wheel.run("mission-control", "backup", "all.dump")
    assert saved.returncode == 0, saved.stderr
    assert "To bring it back: mission-control restore all.dump" in saved.stdout
    assert (wheel.folder / ".local/share/mission-control/secret-key").is_file()


def test_a_wheel_has_no_page_for_developers(wheel: InstalledWheel) -> None:
    [package] = wheel.programs.parent.glob("lib/python*/site-packages/mission_control")
    assert (package / "web/pages.py").is_file()
    assert not (package / "web/design.py").exists()
    assert not (package / "templates/design").exists()


def test_a_wheel_has_the_licences_of_what_it_contains(wheel: InstalledWheel) -> None:
    name = f"lib/python*/site-packages/mission_control-{VERSION}.dist-info/licenses"
    [folder] = wheel.programs.parent.glob(name)
    installed = {file.relative_to(folder) for file in folder.glob("**/*") if file.is_file()}
    vendored = [*ROOT.glob("static/*/*LICENSE*"), *ROOT.glob("static/fonts/OFL-*")]
    own = {Path("LICENSE"), Path("THIRD_PARTY.md")}
    assert installed == own | {file.relative_to(ROOT) for file in vendored}
    for file in installed:
        assert str(file) in (folder / "THIRD_PARTY.md").read_text() or file in own
