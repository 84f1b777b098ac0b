"""Packages that only some tests need: they are installed once, into the user's cache."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TIMEOUT = 300  # seconds


class PackagesMissing(Exception):
    """The packages cannot be installed on this machine; the message says why."""


def install_once(folder: Path, install: Callable[[], None]) -> None:
    """Install into a new folder, unless this was completed before. Raises PackagesMissing.

    A lock makes other test processes wait until the installation is complete.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install()
            (folder / "complete").touch()


def install_npm_packages(
    folder: Path, *arguments: str, path: str | None = None, timeout: float = TIMEOUT
) -> None:
    """Install packages into `node_modules` of a folder. Raises PackagesMissing."""
    command = ["npm", "install", "--prefix", str(folder)]  # otherwise maybe in a folder above
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run_installer(folder, [*command, *quiet, *arguments], path=path, timeout=timeout)


def run_installer(
    folder: Path, command: Sequence[str], *, path: str | None = None, timeout: float = TIMEOUT
) -> None:
    """Run a command in a folder, with another PATH if necessary. Raises PackagesMissing."""
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
            check=True,
        )
    except FileNotFoundError:
        raise PackagesMissing(f"there is no {command[0]} on the PATH") from None
    except subprocess.TimeoutExpired:
        raise PackagesMissing(f"{command[0]} took longer than {timeout:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise PackagesMissing(f"{' '.join(command)}: {error.stderr.strip()[-500:]}") from None
