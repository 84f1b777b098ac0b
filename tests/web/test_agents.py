"""Pages of agents: table, one agent, its form, and its removal."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from core.clock import now
from models import Agent, DesiredState, Status
from services import boards, tasks
from tests.support.agent_pages import HTMX, address, call, commands, new
from tests.support.board_rows import make_agent
from tests.support.gateway_rows import make_gateway, make_run

__all__ = ["address", "new"]


async def test_members_see_the_agents_of_readable_boards(bob, rita, charlie) -> None:
    for browser in (bob, rita):
        page = (await browser.get("/agents")).text
        assert "Other worker" in page
        assert "Gardener" not in page
        assert 'href="/agents/new' not in page
    assert "Other worker" not in (await charlie.get("/agents")).text


EVERY_TEN_MINUTES = {"every": "10m"}


async def test_the_table_shows_how_each_state_is_known(alice, world, transaction) -> None:
    async with transaction() as session:
        for agent, minutes in ((world.worker, 14), (world.gardener, 47)):
            agent.last_seen_at = now() - timedelta(minutes=minutes)
            agent.heartbeat_config = EVERY_TEN_MINUTES
            await session.merge(agent)
        world.other_worker.last_seen_at = None
        await session.merge(world.other_worker)
    async with transaction() as session:
        session.add(
            world.make_task("Cut the release", status=Status.IN_PROGRESS, assignee=world.worker)
        )

    page = (await alice.get("/agents")).text

    assert "Last seen 14 min ago (expected every 10 min)" in page
    assert "called the API 14 min ago" not in page  # the heartbeat says it
    assert "Cut the release" in page
    assert "Last seen 47 min ago" in page
    assert "Gardener stopped calling" in page
    assert "no call yet" in page
    assert "Other worker has a token and has not called yet." in page


async def test_the_table_part_keeps_its_filters(alice, world) -> None:
    part = (await alice.get("/agents?q=other", headers=HTMX)).text
    assert "<html" not in part
    assert "Other worker" in part
    assert "Lead" not in part
    assert 'hx-get="/agents?q=other"' in part

    of_garden = (await alice.get(f"/agents?board={world.garden.id}")).text
    assert "Gardener" in of_garden
    assert "Other worker" not in of_garden
    assert "No matching agents." in (await alice.get("/agents?state=trouble")).text


async def list_names(client, query: str) -> list[str]:
    """Return the names of the agents in the table, in its order."""
    page = (await client.get(f"/agents{query}")).text
    return re.findall(r'<a class="n" href="/agents/[^>]*>([^<]*)</a>', page)


async def test_the_table_is_sorted_by_state_and_by_task(alice, world, transaction) -> None:
    ages = {world.gardener: 1, world.worker: 14, world.other_worker: 47}
    titles = {world.other_worker: "Audit", world.gardener: "build", world.worker: "Cut"}
    async with transaction() as session:
        for agent, minutes in ages.items():
            agent.last_seen_at = now() - timedelta(minutes=minutes)
            agent.heartbeat_config = EVERY_TEN_MINUTES
            await session.merge(agent)
        await session.execute(delete(Agent).where(Agent.id == world.lead.id))
    by_state = ["Gardener", "Worker", "Other worker"]  # idle, late, offline
    assert await list_names(alice, "?sort=state") == by_state
    assert await list_names(alice, "?sort=-state") == by_state[::-1]
    async with transaction() as session:
        for agent, title in titles.items():
            task = world.make_task(title, status=Status.IN_PROGRESS, assignee=agent)
            task.board_id = agent.board_id
            session.add(task)
    by_task = ["Other worker", "Gardener", "Worker"]
    assert await list_names(alice, "?sort=task") == by_task
    assert await list_names(alice, "?sort=-task") == by_task[::-1]


async def test_the_table_is_sorted_by_its_columns(alice, world, transaction) -> None:
    async with transaction() as session:
        for agent, minutes in ((world.worker, 3), (world.other_worker, 2), (world.gardener, 1)):
            agent.last_seen_at = now() - timedelta(minutes=minutes)
            await session.merge(agent)
    by_name = await list_names(alice, "")
    assert by_name == sorted(by_name)
    assert await list_names(alice, "?sort=x") == by_name
    assert await list_names(alice, "?sort=-name") == by_name[::-1]
    assert await list_names(alice, "?sort=board") == ["Gardener", "Lead", "Other worker", "Worker"]
    recent = [one for one in await list_names(alice, "?sort=seen") if one in ("Gardener", "Worker")]
    assert recent == ["Gardener", "Worker"]
    page = (await alice.get("/agents?q=work&sort=board")).text
    assert 'aria-sort="ascending"' in page
    assert 'hx-get="/agents?q=work&amp;sort=board"' in page
    assert 'href="/agents?q=work&amp;sort=-board"' in page
    assert ">Launch</a>" in page


async def test_agents_are_read_page_by_page(alice, world, transaction) -> None:
    async with transaction() as session:
        session.add_all([make_agent(f"Agent {number}", world.board) for number in range(60)])
    first = (await alice.get("/agents")).text
    assert "64 agents" in first
    assert "All states (64)" in first
    [after] = re.findall(r'href="(/agents\?after=[^"]*)"', first)
    second = (await alice.get(after)).text
    [before] = re.findall(r'href="(/agents\?before=[^"]*)"', second)
    names = [re.findall(r'<a class="n"[^>]*>([^<]*)<', page) for page in (first, second)]
    assert [len(one) for one in names] == [50, 14]
    assert await list_names(alice, before.removeprefix("/agents")) == names[0]
    assert await list_names(alice, "?after=x") == names[0]


async def test_agents_are_filtered_by_board_and_gateway(alice, bob, world, transaction) -> None:
    gateway = make_gateway(world.tern)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add(make_agent("Runner", world.board, gateway_id=gateway.id))
    query = f"?board={world.board.id}&gateway={gateway.id}"
    assert await list_names(alice, query) == ["Runner"]
    assert await list_names(alice, f"?board={world.garden.id}&gateway={gateway.id}") == []
    assert "/pick/gateways" in (await alice.get("/agents")).text
    assert "/pick/gateways" not in (await bob.get(f"/agents{query}")).text  # only admins see them
    assert (await bob.get(f"/agents?board={world.garden.id}")).status_code == 403


async def test_an_agent_list_without_agents_says_so(bob, charlie, world, transaction) -> None:
    async with transaction() as session:
        await session.execute(delete(Agent))
    page = (await charlie.get("/agents")).text
    assert "No agents yet." in page
    assert 'href="/agents/new"' in page
    assert "No agents that you can see." in (await bob.get("/agents")).text


async def test_an_invalid_filter_filters_nothing(alice) -> None:
    for query in ("state=x", "board=x", "board=%00", "q="):
        assert "Other worker" in (await alice.get(f"/agents?{query}")).text


@pytest.mark.parametrize(
    ("wrong", "status", "sentence"),
    [
        ({"name": " "}, 422, "Enter a name."),
        ({"name": "J" * 101}, 422, "At most 100 characters."),
        ({"name": "a\nb"}, 422, "This is one line"),
        ({"name": "worker"}, 409, "Another agent of this board has that name."),
        ({"kind": "lead"}, 409, "Lead leads this board already."),
        ({"kind": "boss"}, 422, "Choose one of those that are offered."),
        ({"every": "soon"}, 422, "Enter an interval such as 30s, 10m or 1h."),
        ({"board_id": "x"}, 422, "Choose one of those that are offered."),
        ({"client": "x"}, 422, "Choose one of those that are offered."),
        ({"role": "R\0"}, 422, "It contains a character that cannot be stored."),
        ({"first_task": "T" * 201}, 422, "At most 200 characters."),
    ],
)
async def test_an_invalid_new_agent_keeps_the_submitted_values(
    alice, new, transaction, wrong, status, sentence
) -> None:
    page = await alice.post("/agents", data=new | wrong)

    assert page.status_code == status
    assert sentence in page.text
    if "role" not in wrong:
        assert 'value="Release engineer"' in page.text
    async with transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Agent)) == 5


async def test_an_update_keeps_values_outside_the_form(alice, world, address, transaction) -> None:
    async with transaction() as session:
        world.worker.identity_profile = {"role": "Tester", "purpose": "Tests"}
        world.worker.heartbeat_config = {"every": "10m", "target": "last"}
        await session.merge(world.worker)
    assert 'value="Tester"' in (await alice.get(f"{address}/settings")).text

    typed = {
        "name": "Moss",
        "role": "Load tester",
        "every": "5m",
        "emoji": ":zap:",
        "board_id": str(world.board.id),
    }
    saved = await alice.post(f"{address}/settings", data=typed)

    assert saved.status_code == 303
    assert saved.headers["Location"].startswith(f"{address}/settings?saved=")
    page = (await alice.get(address)).text
    assert "Moss" in page
    assert "Load tester" in page
    async with transaction() as session:
        agent = await session.get(Agent, world.worker.id)
        assert agent.identity_profile["purpose"] == "Tests"
        assert agent.heartbeat_config == {"every": "5m", "target": "last"}


async def test_an_invalid_update_keeps_the_submitted_values(alice, address, world) -> None:
    typed = {"name": "Lead", "role": "kept", "board_id": str(world.board.id)}
    page = await alice.post(f"{address}/settings", data=typed)
    assert page.status_code == 409
    assert "Another agent of this board has that name." in page.text
    assert 'value="kept"' in page.text


async def test_an_agent_is_deleted_after_a_confirmation(alice, address) -> None:
    assert "Delete Worker permanently?" in (await alice.get(f"{address}/settings")).text
    gone = await alice.post(f"{address}/deletions")
    assert (gone.status_code, gone.headers["Location"]) == (303, "/agents")
    assert (await alice.get(address)).status_code == 404


@pytest.mark.parametrize(
    ("days", "sentence"),
    [(5, "The token of Worker ends on "), (-1, "The newest token of Worker has ended on ")],
)
async def test_the_pages_of_an_agent_warn_before_its_token_ends(
    alice, bob, address, transaction, days, sentence
) -> None:
    issued = await alice.post(f"{address}/tokens", data={"days": "365"})
    assert issued.headers["Location"] == f"{address}/calls"
    page = (await alice.get(f"{address}/settings")).text
    assert "The newest token ends on " in page
    assert '<option value="365" selected' in page
    assert 'id="token-end"' not in page
    async with transaction() as session:
        await session.execute(update(Agent).values(token_expires_at=now() + timedelta(days=days)))
    for browser, path in ((alice, address), (alice, f"{address}/settings"), (bob, address)):
        assert sentence in (await browser.get(path)).text
    assert f'href="{address}/settings#token"' in (await alice.get(address)).text
    assert f'href="{address}/settings#token"' not in (await bob.get(address)).text


async def test_members_can_read_but_not_manage_agents(bob, rita, address, new, world) -> None:
    for browser in (bob, rita):
        page = await browser.get(address)
        assert page.status_code == 200
        assert "Issue a new token" not in page.text
        for path in (f"{address}/settings", f"{address}/calls", "/agents/new"):
            assert (await browser.get(path)).status_code == 403
        for path, data in (
            ("/agents", new),
            (f"{address}/settings", {"name": "x", "board_id": str(world.board.id)}),
            (f"{address}/tokens", {}),
            (f"{address}/deletions", {}),
        ):
            assert (await browser.post(path, data=data)).status_code == 403
        assert (await browser.get(f"/agents/{world.gardener.id}")).status_code == 403


async def test_agents_of_other_organizations_are_not_found(charlie, address, new, world) -> None:
    paths = [f"{address}{tab}" for tab in ("", "/runs", "/messages", "/settings", "/calls")]
    for path in (*paths, f"/agents?board={world.board.id}"):
        assert (await charlie.get(path)).status_code == 404
    for path, data in (
        ("/agents", new),
        (f"{address}/settings", {"name": "x", "board_id": str(world.board.id)}),
        (f"{address}/settings", {}),
        (f"{address}/tokens", {}),
        (f"{address}/deletions", {}),
    ):
        assert (await charlie.post(path, data=data)).status_code == 404


async def test_an_agent_cannot_move_to_a_foreign_board(alice, address, world) -> None:
    typed = {"name": "Worker", "board_id": str(world.charlies_board.id)}
    assert (await alice.post(f"{address}/settings", data=typed)).status_code == 404


async def test_an_unknown_agent_is_not_found(alice) -> None:
    assert (await alice.get("/agents/01990000-0000-7000-8000-000000000000")).status_code == 404
    assert (await alice.get("/agents/nobody")).status_code == 404


async def test_htmx_gets_only_the_changing_part_of_the_page(alice, address) -> None:
    part = (await alice.get(address, headers=HTMX)).text
    assert 'id="agent-now"' in part
    assert "<html" not in part


async def test_recent_activity_is_on_the_agent_page(alice, address, world, browsers) -> None:
    await alice.post(f"{address}/tokens")
    page = (await alice.get(f"{address}/calls")).text
    assert "New agent token: Worker" in (await alice.get(address)).text
    await call(browsers, commands(page)[0])
    assert "No activity yet." in (await alice.get(f"/agents/{world.gardener.id}")).text


async def test_a_comment_in_the_recent_activity_is_plain_text(
    alice, address, world, transaction
) -> None:
    task = world.make_task("Write")
    text = (
        "## Done\n\nSee **the [report](https://example.com)**:\n\n- one & <b>two</b>\n" + "x " * 300
    )
    async with transaction() as session:
        session.add(task)
    async with transaction() as session:
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.create_comment(session, world.worker, board, task.id, text)
    page = (await alice.get(address)).text
    assert ">Done See the report: one &amp; &lt;b&gt;two&lt;/b&gt; x x" in page
    assert "x " * 200 not in page


async def test_an_agent_gets_a_message_or_is_woken_from_its_page(
    alice, bob, address, world, transaction
) -> None:
    chat = f"/boards/{world.board.id}/chat?to={world.worker.id}"
    page = (await bob.get(address)).text
    assert f'href="{chat}#say"' in page
    assert 'name="wake"' not in page
    assert "@Worker </textarea>" in (await bob.get(chat)).text
    for to in (world.gardener.id, world.charlies_worker.id, "x"):
        assert "</textarea>" in (await alice.get(f"/boards/{world.board.id}/chat?to={to}")).text

    assert 'name="wake"' not in (await alice.get(address)).text  # no gateway runs it
    async with transaction() as session:
        agent = await session.merge(world.worker)
        agent.desired_state, agent.observed_generation = DesiredState.RUNNING, 1
    assert 'name="wake" value="on"' in (await alice.get(address)).text


async def test_former_addresses_lead_to_the_tabs(alice, address, world) -> None:
    for method in ("GET", "POST"):
        moved = await alice.request(method, f"{address}/edit")
        assert (moved.status_code, moved.headers["Location"]) == (307, f"{address}/settings")


async def test_members_see_four_tabs_and_admins_all(alice, bob, rita, address) -> None:
    for browser, count in ((alice, 7), (bob, 4), (rita, 4)):
        for tab in ("", "/runs", "/sessions", "/messages"):
            page = (await browser.get(f"{address}{tab}")).text.partition('class="tabs"')[2]
            tabs = re.findall(rf'<a href="{address}([/\w]*)"(?: aria-current="page")?>', page)
            assert len(tabs) == count
            assert f'<a href="{address}{tab}" aria-current="page">' in page


async def test_runs_are_listed_page_by_page(alice, world, address, transaction, gateway) -> None:
    assert "No runs yet." in (await alice.get(f"{address}/runs")).text
    async with transaction() as session:
        session.add_all(make_run(gateway, world.worker, error=f"run {n}.") for n in range(27))
    page = (await alice.get(f"{address}/runs")).text
    assert len(re.findall(r"run \d+\.", page)) == 25
    assert "1 to 25 of 27" in page
    part = await alice.get(f"{address}/runs?offset=25", headers=HTMX)
    assert len(re.findall(r"run \d+\.", part.text)) == 2
    assert "<html" not in part.text
