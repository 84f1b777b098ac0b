"""Stopping all agents on pages, and releasing agents that a circuit breaker holds."""

import re
from datetime import timedelta

from sqlalchemy import select, update

from core.audit_context import AuditContext, audit_context
from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Organization
from services import organizations
from tests.support.board_rows import make_agent
from tests.support.world import World
from tests.web.test_board_page import HTMX

BANNER = "All agents are stopped"
HOLD = {"cause": "loop", "reason": "It and Lead answer each other."}


async def is_stopped(transaction: TransactionFactory, world: World) -> bool:
    query = select(Organization.stopped_at).where(Organization.id == world.tern.id)
    async with transaction() as session:
        return await session.scalar(query) is not None


async def hold_worker(transaction: TransactionFactory, world: World) -> None:
    held = update(Agent).where(Agent.id == world.worker.id).values(held_at=now(), hold=HOLD)
    async with transaction() as session:
        await session.execute(held)


async def test_every_page_shows_who_stopped_the_agents(
    alice, bob, dana, charlie, world, transaction
) -> None:
    pages = ["/boards", "/agents", "/activity", "/settings", f"/boards/{world.board.id}"]
    for page in pages:
        shown = (await alice.get(page)).text
        assert BANNER not in shown
        assert 'action="/stops"' in shown
    answer = await alice.post("/stops", data={"reason": "They delete <b>rows</b>."})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/agents")
    assert await is_stopped(transaction, world)
    for page in pages:
        shown = (await alice.get(page)).text
        assert f"<b>{BANNER}</b> by you" in shown
        assert "They delete &lt;b&gt;rows&lt;/b&gt;." in shown
        assert 'action="/stops/endings"' in shown
    for member in (bob, dana):
        assert f"<b>{BANNER}</b> by Alice" in (await member.get("/activity")).text
    assert "Resume agents" not in (await bob.get("/activity")).text
    assert BANNER not in (await charlie.get("/boards")).text
    rail = (await bob.get("/rail")).text
    assert 'id="stopped" role="status" hx-swap-oob="outerMorph"' in rail
    assert BANNER in rail

    answer = await dana.post("/stops/endings")  # another admin
    assert answer.status_code == 303
    assert not await is_stopped(transaction, world)
    assert BANNER not in (await alice.get("/boards")).text


async def test_htmx_gets_the_banner(alice, world, transaction) -> None:
    answer = await alice.post("/stops", data={"reason": ""}, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert f"<b>{BANNER}</b> by you" in answer.text
    answer = await alice.post("/stops/endings", headers=HTMX)
    assert BANNER not in answer.text
    assert 'id="stopped"' in answer.text
    assert not await is_stopped(transaction, world)


async def test_only_admins_stop_and_resume_all_agents(
    alice, bob, charlie, browsers, world, transaction
) -> None:
    assert 'action="/stops"' not in (await bob.get("/agents")).text
    assert "stop-agents" not in (await bob.get("/agents")).text
    assert (await bob.post("/stops")).status_code == 403
    assert (await browsers().post("/stops")).status_code == 303  # to the sign-in
    await charlie.post("/stops")  # his own organization
    assert not await is_stopped(transaction, world)
    await alice.post("/stops")
    assert (await bob.post("/stops/endings")).status_code == 403
    await charlie.post("/stops/endings")
    assert await is_stopped(transaction, world)


async def test_a_held_agent_is_shown_and_released_by_an_admin(
    alice, bob, charlie, world, transaction
) -> None:
    await hold_worker(transaction, world)
    page, board = f"/agents/{world.worker.id}", f"/boards/{world.board.id}"
    for address in (page, "/agents", board, f"{board}/pauses", f"{board}/agents-panel"):
        shown = (await alice.get(address, headers=HTMX if "/agents-panel" in address else {})).text
        assert ("Stopped automatically" if "/agents-panel" in address else HOLD["reason"]) in shown
    assert f'action="{page}/releases"' in (await alice.get(page)).text
    assert HOLD["reason"] in (await bob.get(board)).text
    assert "/releases" not in (await bob.get(board)).text
    assert (await bob.post(f"{page}/releases")).status_code == 403
    assert (await charlie.post(f"{page}/releases")).status_code == 404
    assert HOLD["reason"] in (await alice.get(page)).text

    answer = await alice.post(f"{page}/releases")
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert HOLD["reason"] not in (await alice.get(page)).text
    assert HOLD["reason"] not in (await alice.get(board)).text


async def test_the_notice_of_many_held_agents_names_the_first(alice, world, transaction) -> None:
    since = now() - timedelta(days=1)
    many = [
        make_agent(f"Held {n:02}", world.board, held_at=since + timedelta(minutes=n), hold=HOLD)
        for n in range(20)
    ]
    async with transaction() as session:
        session.add_all(many)
    board = f"/boards/{world.board.id}"
    for address in (board, f"{board}/pauses"):
        page = (await alice.get(address)).text
        assert re.findall(r"<b>(Held \d\d) was stopped", page) == [f"Held {n:02}" for n in range(8)]
        assert "12 more agents are stopped or paused." in page
    listed = (await alice.get(f"/agents?state=held&board={world.board.id}")).text
    assert "Held 19" in listed


async def test_a_held_agent_counts_in_needs_you_of_admins(alice, bob, transaction, world) -> None:
    assert "Stopped automatically" not in (await alice.get("/boards")).text
    assert (await alice.get("/")).headers["Location"] == "/dashboard"
    await hold_worker(transaction, world)
    page = (await alice.get("/boards")).text
    assert 'data-needs="1"' in page
    assert page.count(f'href="/agents/{world.worker.id}"') >= 1
    assert "stopped automatically" in page
    assert (
        f'action="/agents/{world.worker.id}/releases"'
        in (await alice.get(f"/agents/{world.worker.id}")).text
    )
    assert (await alice.get("/")).headers["Location"] == "/agents?state=held"
    held = (await alice.get("/agents?state=held")).text
    assert "Worker" in held
    assert "Lead</a>" not in held
    assert "Stopped automatically" not in (await bob.get("/boards")).text
    await alice.post(f"/agents/{world.worker.id}/releases")
    assert "Stopped automatically" not in (await alice.get("/boards")).text


async def test_an_agent_is_paused_and_resumed_on_its_page(
    alice, bob, charlie, transaction, world
) -> None:
    agent, board = f"/agents/{world.worker.id}", f"/boards/{world.board.id}"
    for member, status in ((bob, 403), (charlie, 404)):
        assert (await member.post(f"{agent}/pauses")).status_code == status
    assert f'action="{agent}/pauses"' not in (await bob.get(agent)).text
    assert f'action="{agent}/pauses"' in (await alice.get(agent)).text
    answer = await alice.post(f"{agent}/pauses")
    assert (answer.status_code, answer.headers["Location"]) == (303, agent)
    for page in (agent, "/agents?state=held", board):
        shown = (await alice.get(page)).text
        assert "Worker is paused." in shown, page
        assert "Paused by Alice." in shown, page
        assert f'action="{agent}/releases"' in shown, page
        assert "Stopped automatically" not in shown, page  # nobody has to do anything
    assert f'action="{agent}/pauses"' not in (await alice.get(agent)).text
    shown = (await bob.get(board)).text
    assert "Paused by Alice." in shown
    assert f'action="{agent}/releases"' not in shown
    assert "<b>You</b> paused" in (await alice.get("/activity")).text

    await alice.post(f"{agent}/releases")
    assert "is paused" not in (await alice.get(agent)).text
    assert "<b>You</b> resumed" in (await alice.get("/activity")).text


async def test_a_deleted_user_is_not_named_by_a_pause(dana, alice, transaction, world) -> None:
    agent = f"/agents/{world.worker.id}"
    async with transaction() as session:
        (await session.merge(world.dana_member)).all_boards_write = True
    await dana.post(f"{agent}/pauses")
    assert "Paused by Dana." in (await alice.get(agent)).text
    await dana.post("/settings/account", data={"confirmation": "dana@example.com"})
    assert "Paused by Deleted user." in (await alice.get(agent)).text
    async with transaction() as session:
        hold = await session.scalar(select(Agent.hold).where(Agent.id == world.worker.id))
    assert "Dana" not in str(hold)


async def test_a_stop_on_the_command_line_has_one_name_on_all_pages(
    alice, world, transaction
) -> None:
    with audit_context(AuditContext(actor_kind="operator", credential="command_line")):
        async with transaction() as session:
            fields = organizations.AgentStopCreate()
            await organizations.stop_all_agents(session, fields, name=world.tern.name)
    for page, line in {
        "/boards": "stopped</b> by the command line",
        "/activity": "<b>the command line</b> stopped all agents",
        "/notifications": "The command line stopped all agents",
        "/audit": '<b dir="auto">The command line</b>',
    }.items():
        shown = (await alice.get(page)).text
        assert line in shown, page
        assert "The operator" not in shown
        assert "on the command line" not in shown
