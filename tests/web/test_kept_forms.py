"""A form that is submitted without a valid session is filled in again after the sign-in."""

import html
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Board, KeptForm, SignIn, SkillPack, Task, User
from services import kept_forms
from tests.support.skill_archives import make_zip
from tests.support.world import World
from web.ui.posted_forms import ORIGIN_FIELD, SECRET_FIELD

ORIGIN = re.compile(rf'name="{ORIGIN_FIELD}" value="([^"]+)"')
PASSWORD_FIELD = re.compile(r"""forms\.password\('(\w+)'|type="password"[^>]*name="([a-z]\w*)\"""")
TEMPLATES = Path(__file__).parents[2] / "templates"


async def read_origin(client: httpx2.AsyncClient, page: str) -> str:
    """Return the hidden field of the forms of a page."""
    origins = set(ORIGIN.findall((await client.get(page)).text))
    assert len(origins) == 1
    return html.unescape(origins.pop())


async def end_sessions(transaction: TransactionFactory, user: User) -> None:
    async with transaction() as session:
        ended = update(SignIn).where(SignIn.user_id == user.id).values(expires_at=now())
        await session.execute(ended)


async def renew_sessions(transaction: TransactionFactory, user: User) -> None:
    """Let the user sign in again."""
    async with transaction() as session:
        renewed = update(SignIn).where(SignIn.user_id == user.id)
        await session.execute(renewed.values(expires_at=now() + timedelta(days=1)))


def read_next(response: httpx2.Response) -> str:
    address = urlsplit(response.headers["Location"])
    assert (response.status_code, address.path) == (303, "/sign-in")
    return parse_qs(address.query).get("next", ["/"])[0]


async def count(transaction: TransactionFactory, model: type) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
async def kept(alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory) -> str:
    """Submit a form without a session, and return the address after the sign-in."""
    page = "/boards/new"
    form = {"name": "My <board>", "description": "Line 1\r\n& 2", ORIGIN_FIELD: ""}
    form[ORIGIN_FIELD] = await read_origin(alice, page)
    await end_sessions(transaction, world.alice)
    next = read_next(await alice.post("/boards", data=form))
    await renew_sessions(transaction, world.alice)
    return next


async def test_the_form_is_filled_in_after_the_sign_in(alice, kept, transaction, world) -> None:
    boards = await count(transaction, Board)
    assert urlsplit(kept).path == "/boards/new"
    text = (await alice.get(kept)).text
    assert 'value="My &lt;board&gt;"' in text
    assert "\nLine 1\r\n&amp; 2</textarea>" in text
    assert "Nothing has changed yet" in text
    assert re.search(r'<form [^>]*action="/boards"[^>]* data-restored=""', text)
    assert await count(transaction, Board) == boards
    assert "My &lt;board" not in (await alice.get("/boards/new")).text


async def test_long_filters_are_not_in_each_form_and_come_back(alice, world, transaction) -> None:
    page = f"/boards/{world.board.id}?view=list&q={'sail+' * 100}end"
    origin = await read_origin(alice, page)
    assert len(origin) < 200
    await end_sessions(transaction, world.alice)
    sent_by = {"Referer": f"http://mission.test{page}"}
    form = {"name": "Mine", ORIGIN_FIELD: origin}
    sent = await alice.post("/boards", data=form, headers=sent_by)
    assert read_next(sent).startswith(f"{page}&kept=")
    elsewhere = {"Referer": "http://mission.test/activity?q=x"}
    sent = await alice.post("/boards", data=form, headers=elsewhere)
    assert read_next(sent).startswith(f"/boards/{world.board.id}?kept=")


async def test_another_user_does_not_get_the_form(kept, dana, charlie) -> None:
    for client in (dana, charlie):
        text = (await client.get(kept)).text
        assert "My &lt;board" not in text
        assert "Nothing has changed yet" not in text


async def test_a_form_is_kept_for_an_hour(alice, kept, transaction) -> None:
    async with transaction() as session:
        await session.execute(update(KeptForm).values(created_at=now() - kept_forms.LIFETIME))
    assert "My &lt;board" not in (await alice.get(kept)).text
    async with transaction() as session:
        await kept_forms.delete_expired_forms(session)
    assert await count(transaction, KeptForm) == 0


async def test_few_forms_of_a_user_are_kept_and_encrypted(alice, kept, transaction, world) -> None:
    origin = await read_origin(alice, "/boards/new")
    await end_sessions(transaction, world.alice)
    for number in range(kept_forms.MAX_FORMS + 1):
        await alice.post("/boards", data={"name": f"Board {number}", ORIGIN_FIELD: origin})
    async with transaction() as session:
        stored = list(await session.scalars(select(KeptForm.encrypted_content)))
    assert len(stored) == kept_forms.MAX_FORMS
    assert not [text for text in stored if "Board" in text]


@pytest.mark.parametrize("origin", ["", "x", "{user}.0.", "{user}." + "0" * 32 + "./boards"])
async def test_a_form_without_a_valid_signature_is_not_kept(
    anonymous, transaction, world, origin
) -> None:
    origin = origin.format(user=world.alice.id)
    answer = await anonymous.post("/boards", data={"name": "No", ORIGIN_FIELD: origin})
    assert read_next(answer) == "/"
    assert await count(transaction, KeptForm) == 0


async def test_a_form_of_another_user_is_not_executed(alice, bob, world, transaction) -> None:
    page = f"/boards/{world.board.id}/tasks/new"
    origin = await read_origin(alice, page)
    path = f"/boards/{world.board.id}/tasks"
    for headers in ({}, {"HX-Request": "true"}):
        answer = await bob.post(
            path, data={"title": "Mixed up", ORIGIN_FIELD: origin}, headers=headers
        )
        assert answer.status_code == 409
    assert await count(transaction, Task) == 0
    assert (await alice.post(path, data={"title": "Mine", ORIGIN_FIELD: origin})).status_code == 303


async def test_a_form_with_a_file_belongs_to_its_user(alice, charlie, world, transaction) -> None:
    page, path = "/skills/packs/new", "/skills/packs/uploads"
    form = {"pack_name": "Sails", ORIGIN_FIELD: await read_origin(alice, page)}
    files = {"archive": ("pack.zip", make_zip({"a/SKILL.md": "# A"}))}
    assert (await charlie.post(path, data=form, files=files)).status_code == 409
    assert await count(transaction, SkillPack) == 0
    await end_sessions(transaction, world.alice)
    assert read_next(await alice.post(path, data=form, files=files)) == page


async def test_parts_are_not_sent_to_a_page_of_another_user(bob, world) -> None:
    for user, status in ((world.alice, 401), (world.bob, 200)):
        headers = {"HX-Request": "true", "Shown-To": f"{user.id}.{world.tern.id}"}
        assert (await bob.get("/rail", headers=headers)).status_code == status


async def test_passwords_and_tokens_are_not_kept(alice, world, transaction) -> None:
    origin = await read_origin(alice, "/gateways/new")
    await end_sessions(transaction, world.alice)
    form = {"name": "Harbour", "token": "very secret", ORIGIN_FIELD: origin}
    next = read_next(await alice.post("/gateways", data=form))
    await renew_sessions(transaction, world.alice)
    text = (await alice.get(next)).text
    assert 'value="Harbour"' in text
    assert "very secret" not in text
    assert "Enter passwords and tokens again" in text


def test_the_fields_of_all_secrets_are_known() -> None:
    found = [
        name
        for file in TEMPLATES.rglob("*.html")
        for match in PASSWORD_FIELD.findall(file.read_text())
        for name in match
        if name and file.name != "forms.html"
    ]
    assert len(found) > 5
    assert [name for name in found if not SECRET_FIELD.search(name)] == []


async def test_text_without_a_form_on_the_page_is_shown(alice, world, transaction) -> None:
    origin = await read_origin(alice, "/boards/new")
    await end_sessions(transaction, world.alice)
    form = {"message": "Do not <lose> this", ORIGIN_FIELD: origin}
    next = read_next(await alice.post(f"/boards/{world.board.id}/chat", data=form))
    await renew_sessions(transaction, world.alice)
    text = (await alice.get(next)).text
    assert "\nDo not &lt;lose&gt; this</textarea>" in text
    assert "data-restored " not in text


async def test_signing_out_twice_leads_to_the_sign_in_page(alice, world, transaction) -> None:
    origin = await read_origin(alice, "/boards/new")
    await end_sessions(transaction, world.alice)
    answer = await alice.post("/sign-out", data={ORIGIN_FIELD: origin})
    assert answer.headers["Location"] == "/sign-in"


async def test_a_form_is_kept_when_the_user_has_to_sign_in_again(alice, world, transaction) -> None:
    member = f"/people/{world.bob_member.id}"
    origin = await read_origin(alice, member)
    async with transaction() as session:
        old = update(SignIn).values(authenticated_at=now() - timedelta(days=2))
        await session.execute(old)
    answer = await alice.post(f"{member}/roles", data={"role": "owner", ORIGIN_FIELD: origin})
    address = urlsplit(answer.headers["Location"])
    assert (answer.status_code, address.path) == (303, "/sign-in/again")
    [next] = parse_qs(address.query)["next"]
    text = (await alice.get(next)).text
    assert re.search(rf'<form [^>]*action="{member}/roles"[^>]* data-restored=""', text)
    assert len(re.findall(r'value="owner"[^>]* (?:selected|checked)=""', text)) == 1
