"""Open one-time links as a browser does."""

from typing import Any


async def open_link(browser: Any, path: str, secret: str) -> Any:
    """Post the secret of a link, and return the response of the page to which it redirects."""
    opened = await browser.post(f"{path}/openings", data={"link": secret})
    assert (opened.status_code, opened.headers["Location"]) == (303, path)
    return await browser.get(path)
