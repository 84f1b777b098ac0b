"""The form of a new gateway, and the connection checks on its page."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway

HTMX = {"HX-Request": "true"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    async with run_fake_gateway(FakeGateway()) as fake:
        yield fake


@pytest.fixture
def new(fake: FakeGateway) -> dict[str, str]:
    return {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}


async def entered(browser: httpx2.AsyncClient, new: dict[str, str], **more: str) -> str:
    """Enter a gateway, and return the address of its page."""
    made = await browser.post("/gateways", data=new | more)
    assert made.status_code == 303, made.text
    return made.headers["Location"]


def steps(page: str) -> list[str]:
    """Return how each connection check is drawn."""
    return re.findall(r'<li class="step" data-s="(\w+)">', page)
