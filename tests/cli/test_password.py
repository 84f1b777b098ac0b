"""`./run password`: a password reset link for a user who cannot sign in."""

from contextlib import closing
from pathlib import Path

import httpx2

from tests.cli.conftest import OWNER, SAME_SITE, run_cli, sign_up_owner
from tests.support.initial_database import INITIAL_DATABASE
from tests.support.installation import Installation

NEW_PASSWORD = "another correct horse"


def test_the_link_lets_the_user_choose_a_new_password(installation: Installation) -> None:
    with closing(sign_up_owner(installation)) as owner:
        result = run_cli("password", OWNER["email"], data=installation.data_dir)
        assert result.returncode == 0, result.stderr
        path, _, link = result.stdout.splitlines()[-1].removeprefix(installation.url).partition("#")
        with httpx2.Client(base_url=installation.url, headers=SAME_SITE, timeout=20) as browser:
            assert browser.post(f"{path}/openings", data={"link": link}).status_code == 303
            assert browser.get(path).status_code == 200
            response = browser.post(path, data={"link": link, "password": NEW_PASSWORD})
            assert response.status_code == 303
            response = browser.post(path, data={"link": link, "password": NEW_PASSWORD})
            assert response.status_code == 410
            credentials = {"email": OWNER["email"], "password": NEW_PASSWORD}
            assert browser.post("/sign-in", data=credentials).headers["Location"] == "/"
        assert owner.get("/settings").headers["Location"].startswith("/sign-in")


def test_an_unknown_address_gives_one_sentence(tmp_path: Path) -> None:
    INITIAL_DATABASE.copy_into(tmp_path / "data")
    result = run_cli("password", "nobody@example.com", data=tmp_path / "data")
    assert result.returncode == 1
    assert result.stderr == "No account has the e-mail address nobody@example.com.\n"
    assert "/password" not in result.stdout
