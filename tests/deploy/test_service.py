"""The service file of systemd."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

UNIT = ROOT / "deploy/mission-control.service"
COMMAND = "/opt/mission-control/bin/mission-control"
MAX_EXPOSURE = 15  # tenths, of 100; a service without protection has 96
TIMEOUT = 60  # seconds


def test_systemd_accepts_the_service_and_rates_it_as_protected(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    assert UNIT.read_text().count(COMMAND) == 1
    unit.write_text(UNIT.read_text().replace(COMMAND, "/bin/true"))
    for words in (
        ("verify", "--recursive-errors=no", str(unit)),
        ("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", str(unit)),
    ):
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=TIMEOUT)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
