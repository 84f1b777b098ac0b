"""The conformance suite of the Model Context Protocol, against a real server.

It runs with `./run test --agents`; npm installs the suite and its Node.js 22 once. It knows the
versions of the protocol up to 2025-11-25; tests/api/test_mcp.py tests the later one.
"""

import asyncio
import os
import re
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

import app
from core.config.settings import Settings
from tests.support.installation import find_free_port
from tests.support.installed_packages import CACHE, install_npm_packages, install_once
from tests.support.live_server import run_application
from tests.support.people_rows import token_secret
from tests.support.world import World

SUITE = "@modelcontextprotocol/conformance@0.1.16"
NODE = "node@22"  # of npm: the suite needs a later one than systems have
EXPECTED_FAILURES = Path(__file__).parent / "mcp_expected_failures.yml"
TIMEOUT = 300  # seconds

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_AGENTS"), reason="needs the suite: ./run test --agents"
)


def install_suite() -> Path:
    """Return the folder of the installed packages. Raises PackagesMissing."""
    folder = CACHE / "mission-control" / "mcp-conformance-0.1.16"
    install_once(folder, lambda: install_npm_packages(folder, SUITE, NODE, timeout=900))
    return folder / "node_modules"


def add_token(application: ASGIApp, token: str) -> ASGIApp:
    """Add a token to all requests, because the suite has no option for one."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = (b"authorization", f"Bearer {token}".encode())
            scope = {**scope, "headers": [*scope["headers"], header]}
        await application(scope, receive, send)

    return run


async def test_the_mcp_server_conforms_to_what_it_offers(
    isolated_settings: Settings, isolated_world: World, tmp_path: Path
) -> None:
    modules, port = install_suite(), find_free_port()
    url = f"http://localhost:{port}"
    settings = isolated_settings.model_copy(update={"base_url": url})
    application = add_token(app.build_app(settings), token_secret(isolated_world.worker))
    async with run_application(application, port):
        suite = await asyncio.create_subprocess_exec(
            str(modules / "node/bin/node"),
            str(modules / "@modelcontextprotocol/conformance/dist/index.js"),
            *("server", "--url", f"{url}/mcp", "--expected-failures", str(EXPECTED_FAILURES)),
            cwd=tmp_path,  # it writes its results there
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(suite.communicate(), TIMEOUT)
    assert suite.returncode == 0, output.decode()
    passed = re.findall(r"✓ ([a-z-]+): [1-9]", output.decode())
    assert passed == ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"]
