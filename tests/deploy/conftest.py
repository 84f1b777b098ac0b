"""The first steps of an owner, as a browser takes them."""

from urllib.parse import urlsplit

import httpx2

from tests.cli.conftest import OWNER


def sign_up_owner(browser: httpx2.Client, first_run_link: str) -> httpx2.Response:
    """Create the owner on the first page, then an organization. Return the first response."""
    link = urlsplit(first_run_link)
    assert browser.get(link.path).status_code == 200
    response = browser.post(link.path, data={"link": link.fragment, **OWNER})
    assert response.status_code == 303
    assert browser.post("/welcome/organization", data={"name": "Olga & Co"}).status_code == 303
    return response
