"""A real, certified OpenID Connect provider: the npm package oidc-provider, on loopback.

It is installed once, into the user's cache. Without Node it is not available.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from tests.support.installation import find_free_port

VERSION = "8.8.1"  # the last that runs on Node 18 and 20
SCRIPT = Path(__file__).parent / "real_oidc_provider.mjs"
LONG = 180  # seconds


class ProviderMissing(Exception):
    """There is no real provider on this machine; the message says why."""


def install_packages() -> Path:
    """Return the folder of the packages, after installing them if necessary. Raises Missing."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise ProviderMissing("there is no node and npm to run a real OpenID provider with")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mission-control-tests" / f"oidc-provider-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not (folder / "complete").exists():
            _fetch(folder)
            (folder / "complete").touch()
    return folder / "node_modules"


def _fetch(folder: Path) -> None:
    quiet = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    command = ["npm", "install", "--prefix", str(folder), *quiet, f"oidc-provider@{VERSION}"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LONG, check=False
    )
    if done.returncode:
        raise ProviderMissing(f"npm cannot fetch oidc-provider: {done.stderr.strip()[:200]}")


@contextmanager
def run_provider(redirect: str) -> Generator["RealProvider"]:
    """Run the provider with one client and its redirect address. Raises Missing."""
    packages, port = install_packages(), find_free_port()
    command = ["node", str(SCRIPT), str(packages), str(port), redirect]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "ready\n" in iter(process.stdout.readline, ""), "the provider did not start"
            yield RealProvider(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


class RealProvider:
    """The provider, and the browsers of users who sign in there."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def rotate(self) -> None:
        """Make it sign with another key from now on, and publish only that one."""
        httpx2.post(f"{self.issuer}/test/rotate").raise_for_status()

    def sign_in(self, address: str, subject: str = "nora") -> str:
        """Sign a user in after the redirect to the provider, and return the redirect back."""
        forms = [{"prompt": "login", "login": subject, "password": "any"}, {"prompt": "consent"}]
        with httpx2.Client() as browser:
            page = browser.get(address)
            while True:
                if page.is_redirect:
                    address = urljoin(address, page.headers["Location"])
                    if not address.startswith(self.issuer):
                        return address
                    page = browser.get(address)
                else:
                    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
                    assert action, page.text
                    address = urljoin(address, action[1])
                    page = browser.post(address, data=forms.pop(0))
