"""A real, certified OpenID Connect provider: the npm package oidc-provider, on loopback.

It is installed once, into the user's cache. Without Node it is not available.
"""

import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from tests.support.installed_packages import (
    CACHE,
    PackagesMissing,
    install_npm_packages,
    install_once,
)

VERSION = "8.8.1"  # the last that runs on Node 18 and 20
TIMEOUT = 20  # seconds for a response
SCRIPT = Path(__file__).parent / "real_oidc_provider.mjs"


def install_provider() -> Path:
    """Return the folder of its packages, after installing them once. Raises PackagesMissing."""
    if not shutil.which("node"):
        raise PackagesMissing("there is no node to run a real OpenID provider with")
    folder = CACHE / "mission-control-tests" / f"oidc-provider-{VERSION}"
    package = f"oidc-provider@{VERSION}"
    install_once(folder, lambda: install_npm_packages(folder, "--ignore-scripts", package))
    return folder / "node_modules"


@contextmanager
def run_provider(redirect: str) -> Generator["RealProvider"]:
    """Run the provider with one client and its redirect address. Raises PackagesMissing."""
    command = ["node", str(SCRIPT), str(install_provider()), redirect]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = iter(process.stdout.readline, "")
            issuer = next((line.strip() for line in printed if line.startswith("http")), "")
            assert issuer, "the provider did not start"
            yield RealProvider(issuer)
        finally:
            process.terminate()


class RealProvider:
    """The provider, and the browsers of users who sign in there."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def rotate(self) -> None:
        """Make it sign with another key from now on, and publish only that one."""
        httpx2.post(f"{self.issuer}/test/rotate", timeout=TIMEOUT).raise_for_status()

    def sign_in(self, address: str, subject: str = "nora") -> str:
        """Sign a user in after the redirect to the provider, and return the redirect back."""
        forms = [{"prompt": "login", "login": subject, "password": "any"}, {"prompt": "consent"}]
        with httpx2.Client(timeout=TIMEOUT) as browser:
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
