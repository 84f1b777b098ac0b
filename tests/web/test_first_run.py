"""The first run of an installation."""

import pytest
from sqlalchemy import func, select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Organization
from services import identity, organizations
from tests.support.credentials import authenticate_user
from tests.support.installation import LOCAL_TOKEN
from tests.support.one_time_links import open_link

OWNER = {"name": "Mara Okafor", "email": "Mara@Example.com", "password": "a quiet long watch"}


@pytest.fixture
async def link(transaction: TransactionFactory) -> str:
    async with transaction() as session:
        secret = await identity.create_first_run_link(session)
    assert secret
    return secret


async def test_the_link_creates_the_owner_and_signs_them_in(anonymous, link) -> None:
    page = await open_link(anonymous, "/first-run", link)
    assert page.status_code == 200
    assert 'name="password"' in page.text

    made = await anonymous.post("/first-run", data=OWNER | {"link": link})

    assert (made.status_code, made.headers["Location"]) == (303, "/")
    assert "HttpOnly" in made.headers["Set-Cookie"]
    assert (await anonymous.get("/welcome")).status_code == 200


@pytest.mark.parametrize(("zone", "saved"), [("Europe/Vienna", True), ("Mars/Base", False)])
async def test_the_time_zone_of_the_browser_is_saved_at_the_first_run(
    anonymous, link, zone, saved
) -> None:
    page = await open_link(anonymous, "/first-run", link)
    assert '<input type="hidden" name="timezone" value="" data-zone>' in page.text

    await anonymous.post("/first-run", data=OWNER | {"link": link, "timezone": zone})

    await anonymous.post("/welcome/organization", data={"name": "Tern & Co"})
    settings = (await anonymous.get("/settings")).text
    assert (f'name="timezone" type="text" dir="auto" value="{zone}"' in settings) is saved
    assert ("Not saved yet." in settings) is not saved


async def test_the_sign_in_page_says_how_to_begin_until_there_is_an_account(
    anonymous, browsers, link
) -> None:
    hint = "There is no account yet."
    assert hint in (await browsers().get("/sign-in")).text
    await anonymous.post("/first-run", data=OWNER | {"link": link})
    assert hint not in (await browsers().get("/sign-in")).text


async def test_the_owner_names_what_a_script_has_created_before(
    anonymous, link, transaction: TransactionFactory
) -> None:
    """A call with the local token creates an organization, which nobody has named yet."""
    local = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)
    async with transaction() as session:
        script = await authenticate_user(session, LOCAL_TOKEN, local)
        assert script
        member = await organizations.get_or_create_active_membership(session, script)

    made = await anonymous.post("/first-run", data=OWNER | {"link": link})

    assert made.headers["Location"] == "/welcome?step=organization"
    page = (await anonymous.get(made.headers["Location"])).text
    assert "Step 1 of 4" in page
    assert 'value="Personal"' not in page
    named = await anonymous.post("/welcome/organization", data={"name": "Tern & Co"})
    assert named.headers["Location"] == "/welcome"
    assert "Step 2 of 4" in (await anonymous.get("/welcome")).text
    async with transaction() as session:
        kept = await session.get_one(Organization, member.organization_id)
        assert kept.name == "Tern & Co"
        assert await session.scalar(select(func.count()).select_from(Organization)) == 1


async def test_the_link_is_invalid_after_an_owner_exists(anonymous, link) -> None:
    await anonymous.post("/first-run", data=OWNER | {"link": link})
    anonymous.cookies.clear()

    shown = await open_link(anonymous, "/first-run", link)
    again = await anonymous.post(
        "/first-run", data=OWNER | {"link": link, "email": "x@example.com"}
    )

    for page in (shown, again):
        assert page.status_code == 410
        assert "This link is not valid." in page.text
        assert 'name="password"' not in page.text


async def test_without_a_link_no_owner_can_be_created(anonymous, link) -> None:
    page = await anonymous.get("/first-run")

    assert page.status_code == 200
    assert "Open your link." in page.text
    assert 'name="password"' not in page.text


async def test_an_unknown_link_is_invalid(anonymous, link) -> None:
    invented = await anonymous.post("/first-run", data=OWNER | {"link": "mc_first_invented"})
    assert invented.status_code == 410
    assert (await open_link(anonymous, "/first-run", link)).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "  "}, "Enter your name."),
        ({"name": "M" * 201}, "At most 200 characters."),
        ({"email": "not an address"}, "This is not an e-mail address."),
        ({"email": "a\0b@example.com"}, "It contains a character that cannot be stored."),
        ({"password": "short"}, "A password has at least 10 characters."),
    ],
)
async def test_field_errors_keep_the_submitted_values(anonymous, link, wrong, sentence) -> None:
    page = await anonymous.post("/first-run", data=OWNER | {"link": link} | wrong)

    assert page.status_code == 422
    assert sentence in page.text
    assert 'aria-invalid="true"' in page.text
    assert OWNER["password"] not in page.text
    if "name" not in wrong:
        assert 'value="Mara Okafor"' in page.text
    assert (await open_link(anonymous, "/first-run", link)).status_code == 200


async def test_invalid_bytes_are_rejected(anonymous, link) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"name=%ff%fe", b"name=\xff\xfe", b"&".join([b"a=1"] * 3_000)):
        assert (
            await anonymous.post("/first-run", content=body, headers=headers)
        ).status_code == 422


async def test_another_site_cannot_submit_the_form(anonymous, link) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    made = await anonymous.post("/first-run", data=OWNER | {"link": link}, headers=elsewhere)
    assert made.status_code == 403
