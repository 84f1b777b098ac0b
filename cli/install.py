"""Install the packages of a lock file into .venv, unless they are installed.

`run` calls this module with the name of the lock file. It uses only the standard library, because
no package is installed yet.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
VENV = PROJECT_ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UPDATE_FOLDER = PROJECT_ROOT / ".update"
UPDATE_FILE = UPDATE_FOLDER / "former"  # locked by an update; the commit before it until its end
UPDATE_VARIABLE = "MC_UPDATE"  # set in the processes that an update starts
INCLUDED_LOCKS = {"requirements-dev.txt": ["requirements.txt"]}  # contained in the key's lock

NO_PIP = """\
Python is installed, but neither its module venv nor pip: install one of them and start again
(on Debian and Ubuntu: apt install python3-venv)."""
NO_INSTALL = """\
Mission Control could not install what it needs. Can this machine reach a package index?
The last output of pip: """


def main(lock: str) -> int:
    if UPDATE_VARIABLE not in os.environ:
        wait_for_update()
    if is_installed(lock):
        return 0
    lock_handle = os.open(PROJECT_ROOT, os.O_RDONLY)  # serializes processes that start together
    fcntl.flock(lock_handle, fcntl.LOCK_EX)
    if is_installed(lock):
        return 0
    print("Installing what Mission Control needs into .venv, once …", file=sys.stderr, flush=True)
    pip = find_pip()
    if pip is None:
        print(NO_PIP, file=sys.stderr)
        return 1
    return install_packages(pip, lock)


def wait_for_update() -> None:
    """Wait while an update replaces this checkout; undo the replacement if it was interrupted."""
    try:
        file = UPDATE_FILE.open("r+")
    except OSError:
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for the end of an update …", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        if former := file.read().strip():
            print(f"An update was interrupted. Going back to {former} …", file=sys.stderr)
            for name in PROJECT_ROOT.glob(".git/index.lock"):  # of the git that was killed
                name.unlink()
            command = ["git", "-C", str(PROJECT_ROOT), "checkout", "--quiet", "--force", former]
            if subprocess.run(command).returncode != 0:  # noqa: S603
                sys.exit(f"That has failed. Run it yourself: git checkout --force {former}")
            file.truncate(0)


def is_installed(lock: str) -> bool:
    """Return whether this version of the lock file was installed for this Python version."""
    try:
        return get_stamp_file(lock).read_text() == compute_fingerprint(lock)
    except OSError:
        return False


def get_stamp_file(lock: str) -> Path:
    return VENV / f".{lock}.installed"


def compute_fingerprint(lock: str) -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    return f"{version} {hashlib.sha256((PROJECT_ROOT / lock).read_bytes()).hexdigest()}"


def find_pip() -> list[str] | None:
    """Create .venv unless it works; return the command that installs into it, or None."""
    if Path(sys.prefix) == VENV and has_pip(sys.executable):
        return [str(PYTHON), "-m", "pip", "install"]
    base = getattr(sys, "_base_executable", sys.executable)
    shutil.rmtree(VENV, ignore_errors=True)
    if find_spec("ensurepip") and succeeds(base, "-m", "venv", str(VENV)):
        return [str(PYTHON), "-m", "pip", "install"]
    # Debian's Python has no ensurepip, but its pip can install into an environment without pip.
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


def install_packages(pip: list[str], lock: str) -> int:
    """Install all packages of the lock file with verified hashes; return the exit status.

    Until then no lock file counts as installed: after a failure there are packages of two of them.
    Without a package index pip accepts those that are there.
    """
    for stamp in VENV.glob(".*.installed"):
        stamp.unlink()
    locks = (lock, *INCLUDED_LOCKS.get(lock, []))
    fingerprints = {name: compute_fingerprint(name) for name in locks}  # pip reads the file now
    options = ["--quiet", "--require-hashes", "-r", str(PROJECT_ROOT / lock)]
    environment = {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_SYSTEM_CERTS": "1"}
    result = subprocess.run(  # noqa: S603
        [*pip, *options], capture_output=True, text=True, env={**os.environ, **environment}
    )
    if result.returncode != 0:
        print(NO_INSTALL + "\n".join(result.stderr.strip().splitlines()[-3:]), file=sys.stderr)
        return 1
    for name, fingerprint in fingerprints.items():
        get_stamp_file(name).write_text(fingerprint)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
