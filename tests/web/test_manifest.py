"""The manifest and icons with which browsers install the product as an app."""

import re
from pathlib import PurePosixPath
from struct import unpack
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from web.ui.assets import STATIC

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
async def manifest(anonymous: httpx2.AsyncClient) -> dict[str, Any]:
    """Return the manifest that a page links, with addresses from the root of the host."""
    page = (await anonymous.get("/sign-in")).text
    link = re.search(r'<link rel="manifest" href="([^"]+)"', page)
    assert link
    answer = await anonymous.get(link[1])
    assert answer.headers["Content-Type"] == "application/manifest+json"
    found = answer.json()
    addresses = {name: urljoin(link[1], found[name]) for name in ("scope", "start_url")}
    icons = [icon | {"src": urljoin(link[1], icon["src"])} for icon in found["icons"]]
    return found | addresses | {"icons": icons}


def read_size(path: str) -> tuple[int, int]:
    """Return the width and height of a PNG file in static/."""
    content = (STATIC / PurePosixPath(path).relative_to("/static")).read_bytes()
    assert content.startswith(PNG)
    width, height = unpack(">II", content[16:24])
    return width, height


async def test_the_app_has_a_name_and_a_window_of_its_own(manifest, alice) -> None:
    assert manifest["name"] == "Mission Control"
    assert len(manifest["short_name"]) <= 15
    assert manifest["display"] == "standalone"
    assert manifest["start_url"].startswith(manifest["scope"])
    for name in ("theme_color", "background_color"):
        assert re.fullmatch(r"#[0-9a-f]{6}", manifest[name])
    assert (await alice.get(manifest["start_url"])).status_code in (200, 303)


async def test_every_icon_exists_in_its_size(manifest, anonymous) -> None:
    sizes = set()
    for icon in manifest["icons"]:
        answer = await anonymous.get(icon["src"])
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, icon["type"])
        if icon["type"] == "image/png":
            width, height = read_size(icon["src"])
            assert icon["sizes"] == f"{width}x{height}"
            sizes.add((icon.get("purpose", "any"), width))
    assert sizes == {(purpose, size) for purpose in ("any", "maskable") for size in (192, 512)}


async def test_pages_name_the_icon_for_apple_and_the_colours_of_both_themes(anonymous) -> None:
    page = (await anonymous.get("/sign-in")).text
    icon = re.search(r'<link rel="apple-touch-icon" href="([^"?]+)', page)
    assert icon
    assert read_size(icon[1]) == (180, 180)
    colours = re.findall(r'name="theme-color" content="(#\w{6})" media="([^"]+)"', page)
    assert {media for _, media in colours} == {
        "(prefers-color-scheme: light)",
        "(prefers-color-scheme: dark)",
    }
    assert page.index('name="theme-color"') < page.index("theme.js")


async def test_the_content_policy_allows_the_manifest_and_its_icons(anonymous) -> None:
    policy = (await anonymous.get("/sign-in")).headers["Content-Security-Policy"]
    assert "manifest-src" not in policy
    assert "default-src 'self'" in policy
    assert "img-src 'self'" in policy
