"""cli/install.py: the packages in .venv are those of the lock file."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cli.install

UNAVAILABLE = f"mission-control-unavailable==1.0.0 --hash=sha256:{'0' * 64}\n"


def create_environment(folder: Path) -> None:
    """Create an environment; it uses the pip of this one, if there is one, which is quicker."""
    pip = find_spec("pip")
    options = ["--without-pip"] if pip else []
    subprocess.run([sys.executable, "-m", "venv", *options, folder], check=True)
    if pip and pip.origin:
        [packages] = folder.glob("lib/*/site-packages")
        (packages / "pip.pth").write_text(str(Path(pip.origin).parent.parent))


def test_after_a_failed_installation_the_former_packages_are_checked(tmp_path: Path) -> None:
    """It may have replaced some of them before it failed or was killed."""
    (tmp_path / "cli").mkdir()
    script = shutil.copy(cli.install.__file__, tmp_path / "cli")
    lock = tmp_path / "requirements.txt"
    create_environment(tmp_path / ".venv")
    python = tmp_path / ".venv/bin/python"

    def install(packages: str) -> tuple[int, bool]:
        """Return the exit status, and whether there was something to do."""
        lock.write_text(packages)
        result = subprocess.run(
            [python, "-I", script, lock.name],
            env=os.environ | {"PIP_NO_INDEX": "1"},
            capture_output=True,
            text=True,
        )
        return result.returncode, "Installing" in result.stderr

    assert install("# none\n") == (0, True)
    assert install("# none\n") == (0, False)
    assert install(UNAVAILABLE) == (1, True)
    assert install("# none\n") == (0, True)
