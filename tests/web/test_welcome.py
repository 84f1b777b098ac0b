"""The first steps of an admin."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from models import Board, Event, Organization, User
from tests.support.people_rows import cookie_secret, make_sign_in, make_user
from web.auth.viewer import SESSION_COOKIE

HTMX = {"HX-Request": "true"}

BOARD = {
    "name": "Release operations",
    "objective": "Ship 2.4",
    "description": "Everything between a change and a customer.",
    "require_approval_for_done": "true",
}


@pytest.fixture
async def mara(anonymous, transaction, world):
    """Return the client of Mara, who has no organization yet."""
    mara: User = make_user("Mara")
    async with transaction() as session:
        session.add_all([mara, make_sign_in(mara)])
    anonymous.cookies.set(SESSION_COOKIE, cookie_secret(mara))
    return anonymous


async def test_from_nothing_to_the_first_call(mara, browsers) -> None:
    assert (await mara.get("/boards")).headers["Location"] == "/welcome"
    first = (await mara.get("/welcome")).text
    assert "Step 1 of 4" in first
    assert 'action="/sign-out"' in first  # there is nothing else to go to
    named = await mara.post("/welcome/organization", data={"name": "Mara & Co"})
    assert named.headers["Location"] == "/welcome"

    second = (await mara.get("/welcome")).text
    assert "Step 2 of 4" in second
    assert "Mara &amp; Co" in second
    assert second.count('role="switch"') == 6 + 1  # the six rules, and the switch for shortcuts
    made = await mara.post("/welcome/board", data=BOARD)
    assert made.headers["Location"] == "/welcome"

    third = (await mara.get("/welcome")).text
    assert "Step 3 of 4" in third
    board_id = re.findall(r'name="board_id" value="([\w-]+)"', third)[0]
    sent = await mara.post(
        "/welcome/agent",
        data={"name": "Juniper", "board_id": board_id, "first_task": "Say hello"},
    )
    assert sent.status_code == 303
    fourth = await mara.get(sent.headers["Location"])
    assert fourth.headers["Cache-Control"] == "no-store"
    assert "Step 4 of 4" in fourth.text
    assert "You can stop after any step" in third
    assert "You can stop after any step" not in fourth.text
    token = re.findall(r'<code class="trunc">(mc_agent_[\w-]+)</code>', fourth.text)[0]

    waiting = (await mara.get("/welcome")).headers["Location"]
    page = (await mara.get(waiting)).text
    assert token not in page
    assert "first call.</b>" in page
    assert f'href="{waiting}">Check again</a>' in page

    called = await browsers(None).post(
        "/api/v1/agent/heartbeat", headers={"Authorization": f"Bearer {token}"}
    )
    assert called.status_code == 200

    green = (await mara.get(waiting, headers=HTMX)).text
    assert "Juniper is connected." in green
    assert f'href="/boards/{board_id}">Open the board</a>' in green
    for shown in (green, (await mara.get(waiting)).text):
        assert 'id="step-call" data-s="done"' in shown
        assert "Step 4 of 4" not in shown
    assert (await mara.get("/welcome")).headers["Location"] == "/boards"


@pytest.mark.parametrize("name", ["", "  ", "N" * 201, "a\0b"])
async def test_an_organization_needs_a_name(mara, name) -> None:
    page = await mara.post("/welcome/organization", data={"name": name})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    assert (await mara.get("/boards")).headers["Location"] == "/welcome"


async def test_steps_out_of_order_redirect_to_the_first_open_one(mara, world) -> None:
    for path, data in (
        ("/welcome/board", BOARD),
        ("/welcome/agent", {"name": "x", "board_id": str(world.board.id)}),
    ):
        assert (await mara.post(path, data=data)).headers["Location"] == "/welcome"


async def test_the_organization_can_be_renamed(dana, world, transaction) -> None:
    page = (await dana.get("/welcome?step=organization")).text
    assert 'value="Tern"' in page
    assert (await dana.post("/welcome/organization", data={"name": "Tern 2"})).status_code == 303
    assert "Tern 2" in (await dana.get("/welcome")).text


async def test_an_admin_without_a_board_creates_one(dana, transaction) -> None:
    assert "Step 2 of 4" in (await dana.get("/welcome")).text
    page = await dana.post("/welcome/board", data=BOARD | {"name": ""})
    assert page.status_code == 422
    assert "Ship 2.4" in page.text
    assert page.text.count("Enter a name.") == 1
    assert (await dana.post("/welcome/board", data=BOARD)).status_code == 303
    assert "Step 3 of 4" in (await dana.get("/welcome")).text


async def test_the_first_board_needs_only_a_name(dana, transaction) -> None:
    assert (await dana.post("/welcome/board", data={"name": "Quay"})).status_code == 303
    async with transaction() as session:
        board = await session.scalar(select(Board).where(Board.name == "Quay"))
    assert (board.description, board.objective, board.board_type) == ("Quay", None, "general")


async def test_the_first_page_says_what_the_product_is_for(mara) -> None:
    page = (await mara.get("/welcome")).text
    assert "Mission Control gives AI agents their tasks" in page
    assert "<code>./run demo</code>" in page


async def test_the_first_agent_can_be_a_coding_agent(dana) -> None:
    await dana.post("/welcome/board", data={"name": "Quay"})
    page = (await dana.get("/welcome")).text
    board_id = re.findall(r'href="/agents/new\?client=codex&(?:amp;)?board=([\w-]+)"', page)[0]
    sent = await dana.post("/agents", data={"name": "Ada", "client": "codex", "board_id": board_id})
    assert (await dana.get("/welcome")).headers["Location"] == sent.headers["Location"]


async def test_the_form_for_the_first_agent_leads_back_to_the_first_steps(dana, alice) -> None:
    await dana.post("/welcome/board", data={"name": "Quay"})
    for browser, path in ((dana, "/welcome"), (alice, "/agents/new")):
        page = (await browser.get("/agents/new?client=codex")).text
        assert path in re.findall(r'href="([^"]*)">Back</a>', page)


async def test_an_invalid_agent_keeps_the_submitted_values(dana) -> None:
    await dana.post("/welcome/board", data=BOARD)
    board_id = re.findall(r'name="board_id" value="([\w-]+)"', (await dana.get("/welcome")).text)[0]
    page = await dana.post(
        "/welcome/agent", data={"name": "", "role": "kept", "board_id": board_id}
    )
    assert page.status_code == 422
    assert 'value="kept"' in page.text


async def test_completed_first_steps_redirect_to_the_boards(alice) -> None:
    assert (await alice.get("/welcome")).headers["Location"] == "/boards"


async def test_members_cannot_open_the_first_steps(bob, rita, world) -> None:
    for browser in (bob, rita):
        assert (await browser.get("/welcome")).status_code == 403
        assert (await browser.get(f"/welcome/agents/{world.worker.id}")).status_code == 403
        for path, data in (
            ("/welcome/organization", {"name": "Mine"}),
            ("/welcome/board", BOARD),
            ("/welcome/agent", {"name": "x", "board_id": str(world.board.id)}),
        ):
            assert (await browser.post(path, data=data)).status_code == 403


async def test_foreign_agents_and_boards_are_not_found(charlie, world) -> None:
    board: Board = world.board
    assert (await charlie.get(f"/welcome/agents/{world.worker.id}")).status_code == 404
    made = await charlie.post("/welcome/agent", data={"name": "x", "board_id": str(board.id)})
    assert made.status_code == 404


async def test_a_removed_member_reads_who_removed_them(alice, bob, world, transaction) -> None:
    assert (await alice.post(f"/people/{world.bob_member.id}/endings")).status_code == 303
    async with transaction() as session:
        renamed = update(Organization).where(Organization.id == world.tern.id)
        await session.execute(renamed.values(name="Gulls"))  # after the removal
    assert (await bob.get("/boards")).headers["Location"] == "/welcome"
    page = (await bob.get("/welcome")).text
    assert re.search(r"<b>Alice removed you from Tern</b> on \w+ \d+", page)
    assert "ask an admin of the organization for a new invitation" in page
    assert "You belong to no organization" in page
    assert "Set up in four steps" not in page
    await bob.post("/welcome/organization", data={"name": "Mine"})
    assert "removed you" not in (await bob.get("/welcome")).text


async def test_a_part_is_not_replaced_by_the_first_steps(alice, bob, world, board_path) -> None:
    await alice.post(f"/people/{world.bob_member.id}/endings")
    for request in (bob.get, bob.post):
        part = await request(f"{board_path}/agents-panel", headers=HTMX)
        assert part.status_code == 403
        assert part.headers["HX-Retarget"] == "#toasts"
        assert "You do not belong to an organization any more." in part.text
        assert "Step 1" not in part.text


async def test_a_removal_by_a_deleted_account_is_shown(alice, bob, world, transaction) -> None:
    await alice.post(f"/people/{world.bob_member.id}/endings")
    async with transaction() as session:
        await session.execute(update(Event).values(user_id=None))
    assert "<b>You were removed from Tern</b>" in (await bob.get("/welcome")).text


@pytest.mark.parametrize(("days", "is_shown"), [(29, True), (31, False)])
async def test_only_a_recent_removal_is_shown(
    alice, bob, world, transaction, days, is_shown
) -> None:
    await alice.post(f"/people/{world.bob_member.id}/endings")
    async with transaction() as session:
        await session.execute(update(Event).values(created_at=now() - timedelta(days=days)))
    assert ("Alice removed you" in (await bob.get("/welcome")).text) is is_shown


async def test_who_left_or_is_new_reads_nothing_about_a_removal(mara, bob, alice, world) -> None:
    await bob.post("/people/departures")
    await alice.post(f"/people/{world.rita_member.id}/endings")
    for browser in (bob, mara):
        assert "removed" not in (await browser.get("/welcome")).text
