"""A real browser before the real app, started as a person starts it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

ROOT = Path(__file__).parent.parent.parent
AXE = (ROOT / "tests/vendor/axe-4.14.1.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


@dataclass
class Installation:
    """A running Mission Control, and what it printed."""

    url: str
    link: str
    process: subprocess.Popen[str]
    data: Path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def start(data: Path, port: int, **environment: str) -> Installation:
    """Start the app on a data folder, and wait until it has said where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bin.serve", "--port", str(port), "--data", str(data)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=(data.parent / "server.log").open("a"),
        text=True,
        env={**os.environ, "MC_ENV_FILE": os.devnull, "PYTHONUNBUFFERED": "1", **environment},
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if "first-run" in line or "ready" in line.lower():
            break
    link = re.search(r"http://\S*first-run\S*", printed)
    return Installation(f"http://127.0.0.1:{port}", link[0] if link else "", process, data)


def stop(installation: Installation) -> None:
    installation.process.send_signal(signal.SIGINT)
    installation.process.wait(15)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that nobody has used yet."""
    folder = tmp_path_factory.mktemp("installation")
    started = start(folder / "data", free_port(), APPROVAL_UNDO_SECONDS="1")
    yield started
    stop(started)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert program, "the browser tests need Chrome or Chromium: install one of them"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def tab(browser: Browser, installation: Installation) -> AsyncIterator[Page]:
    """A tab of a browser that knows nobody."""
    context = await new_context(browser, installation)
    yield await context.new_page()
    await context.close()


async def new_context(
    browser: Browser, installation: Installation, **options: Any
) -> BrowserContext:
    options = {"viewport": WIDE, "base_url": installation.url, "reduced_motion": "reduce"} | options
    context = await browser.new_context(**options)
    context.set_default_timeout(15_000)
    return context


async def faults_of(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it stands."""
    await page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{fault['id']}: {fault['help']} {node['target']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


async def scrolls_sideways(page: Page) -> bool:
    return await page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )


class Agent:
    """A program that works as an agent, by HTTP."""

    def __init__(self, url: str, token: str) -> None:
        self.client = httpx2.Client(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )

    def call(self, method: str, path: str, status: int = 200, **json: Any) -> Any:
        response = self.client.request(method, path, json=json or None)
        assert response.status_code == status, (path, response.status_code, response.text)
        return response.json()
