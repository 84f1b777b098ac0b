"""`./run password`, for somebody who cannot sign in any more."""

from contextlib import closing

import httpx2

from tests.commands.conftest import OWNER, SAME_SITE, become_owner, command
from tests.installation import Installation

NEW = "another correct horse"


def test_the_link_lets_its_person_in_again(installation: Installation) -> None:
    with closing(become_owner(installation)) as before:
        printed = command(
            "password", OWNER["email"], "--port", str(installation.port), data=installation.data
        )
        assert printed.returncode == 0, printed.stderr
        path, _, link = (
            printed.stdout.splitlines()[-1].removeprefix(installation.url).partition("?link=")
        )
        with httpx2.Client(base_url=installation.url, headers=SAME_SITE, timeout=20) as browser:
            assert browser.get(path, params={"link": link}).status_code == 200
            chosen = browser.post(path, data={"link": link, "password": NEW})
            assert chosen.status_code == 303
            assert browser.post(path, data={"link": link, "password": NEW}).status_code == 410
            who = {"email": OWNER["email"], "password": NEW}
            assert browser.post("/sign-in", data=who).headers["Location"] == "/"
        assert before.get("/settings").headers["Location"].startswith("/sign-in")


def test_an_address_that_nobody_has_is_told_in_one_sentence(shared: Installation) -> None:
    refused = command("password", "nobody@example.com", data=shared.data)
    assert refused.returncode == 1
    assert refused.stderr == "Nobody has the e-mail address nobody@example.com here.\n"
    assert "/password" not in refused.stdout
