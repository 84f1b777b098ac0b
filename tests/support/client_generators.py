"""Programs that generate clients from an OpenAPI document: they need Node.js and npm."""

import hashlib
import sys
from pathlib import Path

from tests.support.installed_packages import (
    CACHE,
    install_npm_packages,
    install_once,
    run_installer,
)

LOCK_FILE = Path(__file__).parent.parent.parent / "requirements-clients.txt"  # by cli/lock
NPM_PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")


def install_client_generators() -> Path:
    """Return the folder with `venv` and `node_modules`. Raises PackagesMissing."""
    python = ".".join(map(str, sys.version_info[:2]))
    locked = "\n".join([LOCK_FILE.read_text(), *NPM_PACKAGES])
    digest = hashlib.sha256(locked.encode()).hexdigest()[:12]
    folder = CACHE / "mission-control-tests" / f"client-generators-{digest}-python{python}"

    def install() -> None:
        install_npm_packages(folder, "--ignore-scripts", *NPM_PACKAGES)
        run_installer(folder, [sys.executable, "-m", "venv", "--without-pip", "venv"])
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv/bin/python")]
        run_installer(
            folder, [*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCK_FILE)]
        )

    install_once(folder, install)
    return folder
