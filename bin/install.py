"""Installs what a lock asks for into .venv, unless it is there.

`run` calls it with the name of the lock. It stands on a bare Python: nothing is installed yet.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"
PYTHON = VENV / "bin" / "python"
SMALLER_LOCKS = {"requirements-dev.txt": ["requirements.txt"]}  # what a lock holds besides itself

NO_PIP = """\
Python is here, but neither its venv nor pip: install one of them and start again
(on Debian and Ubuntu: apt install python3-venv)."""
NO_INSTALL = """\
Mission Control could not install what it needs. Can this machine reach a package index?
The last words of pip: """


def main(lock: str) -> int:
    if is_installed(lock):
        return 0
    alone = os.open(TOP, os.O_RDONLY)  # a second start waits here for the first
    fcntl.flock(alone, fcntl.LOCK_EX)
    if is_installed(lock):
        return 0
    print("Installing what Mission Control needs into .venv, once …", file=sys.stderr, flush=True)
    pip = find_pip()
    if pip is None:
        print(NO_PIP, file=sys.stderr)
        return 1
    return install(pip, lock)


def is_installed(lock: str) -> bool:
    """Say whether this very Python has had this very lock installed."""
    try:
        return stamp(lock).read_text() == fingerprint(lock)
    except OSError:
        return False


def stamp(lock: str) -> Path:
    return VENV / f".{lock}.installed"


def fingerprint(lock: str) -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{version} {hashlib.sha256((TOP / lock).read_bytes()).hexdigest()}"


def find_pip() -> list[str] | None:
    """Make .venv unless it works, and return the command that installs into it."""
    if Path(sys.prefix) == VENV and has_pip(sys.executable):
        return [str(PYTHON), "-m", "pip", "install"]
    base = getattr(sys, "_base_executable", sys.executable)
    shutil.rmtree(VENV, ignore_errors=True)
    if find_spec("ensurepip") and succeeds(base, "-m", "venv", str(VENV)):
        return [str(PYTHON), "-m", "pip", "install"]
    # Debian's Python comes without ensurepip. Its pip may still install into a bare environment.
    shutil.rmtree(VENV, ignore_errors=True)
    if not succeeds(base, "-m", "venv", "--without-pip", str(VENV)):
        return None
    if has_pip(base):
        return [base, "-m", "pip", "--python", str(PYTHON), "install"]
    uv = shutil.which("uv")
    return [uv, "pip", "install", "--python", str(PYTHON)] if uv else None


def has_pip(python: str) -> bool:
    return succeeds(python, "-m", "pip", "--version")


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0  # noqa: S603


def install(pip: list[str], lock: str) -> int:
    """Install all of the lock, each file with the hash that the lock tells."""
    quietly = ["--quiet", "--require-hashes", "-r", str(TOP / lock)]
    settings = {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_SYSTEM_CERTS": "1"}
    done = subprocess.run(  # noqa: S603
        [*pip, *quietly], capture_output=True, text=True, env={**os.environ, **settings}
    )
    if done.returncode != 0:
        print(NO_INSTALL + "\n".join(done.stderr.strip().splitlines()[-3:]), file=sys.stderr)
        return 1
    for name in (lock, *SMALLER_LOCKS.get(lock, [])):
        stamp(name).write_text(fingerprint(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
