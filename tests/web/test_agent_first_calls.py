"""A new agent: its token is shown once, and the commands beside it work."""

import re

from sqlalchemy import func, select

from models import AgentToken
from tests.support.agent_pages import HTMX, address, call, commands, new, shown_token
from tests.support.people_rows import token_secret

__all__ = ["address", "new"]


async def test_a_new_agent_gets_a_token_that_is_shown_once(alice, new) -> None:
    sent = await alice.post("/agents", data=new)
    assert sent.status_code == 303
    made = await alice.get(sent.headers["Location"])

    assert made.status_code == 200
    assert made.headers["Cache-Control"] == "no-store"
    token = shown_token(made.text)
    agent_id = re.findall(r'hx-get="/agents/([\w-]+)/calls"', made.text)[0]
    for path in (f"/agents/{agent_id}", f"/agents/{agent_id}/calls", "/agents"):
        page = await alice.get(path)
        assert page.status_code == 200
        assert token not in page.text
    assert "$AUTH_TOKEN" in (await alice.get(f"/agents/{agent_id}/calls")).text


async def create_agent(browser, new) -> str:
    """Create an agent, and return the page that shows its token."""
    sent = await browser.post("/agents", data=new)
    return (await browser.get(sent.headers["Location"])).text


async def test_each_example_of_a_worker_works(alice, browsers, new, world, transaction) -> None:
    """W-51."""
    async with transaction() as session:
        world.lead.is_board_lead, world.board.workers_may_ask_people = False, True
        await session.merge(world.lead)
        await session.merge(world.board)
    page = await create_agent(alice, new | {"first_task": "Say hello"})

    answers = [await call(browsers, command) for command in commands(page)]

    assert [answer.status_code for answer in answers] == [200] * 10
    task = answers[-1].json()
    assert (task["title"], task["status"]) == ("Say hello", "done")
    assert answers[-2].json()["items"][0]["status"] == "pending"


async def test_each_example_of_a_lead_works(alice, browsers, new, world, transaction) -> None:
    """W-51."""
    async with transaction() as session:
        world.lead.is_board_lead = False
        await session.merge(world.lead)
    page = await create_agent(alice, new | {"kind": "lead", "first_task": "Say hello"})
    lines = commands(page)

    answers = [await call(browsers, command) for command in lines[:-2]]

    assert [answer.status_code for answer in answers] == [200] * 8
    assert answers[4].json()["status"] == "in_progress"
    assert (await call(browsers, lines[-1])).status_code == 403  # the task is not in review yet


async def test_the_examples_say_where_workers_are_allowed_to_ask(
    alice, browsers, new, world, transaction
) -> None:
    async with transaction() as session:
        world.lead.is_board_lead = False
        await session.merge(world.lead)
    page = await create_agent(alice, new | {"first_task": "Say hello"})
    [ask] = [line for line in commands(page) if "/ask-user" in line]
    refused = await call(browsers, ask)
    assert refused.json()["code"] == "workers_may_not_ask"
    setting = f'href="/boards/{world.board.id}/settings#rules"'
    assert setting in page
    lead = await create_agent(alice, new | {"name": "Fern", "kind": "lead"})
    assert "/ask-user" in lead
    assert setting not in lead


async def test_the_page_shows_the_first_call(alice, browsers, new) -> None:
    made = await create_agent(alice, new)
    part = re.findall(r'hx-get="(/agents/[\w-]+/calls)"', made)[0]
    assert "first call.</b>" in (await alice.get(part, headers=HTMX)).text

    await call(browsers, commands(made)[0])

    green = (await alice.get(part, headers=HTMX)).text
    assert "<html" not in green
    assert "note--good" in green
    assert re.search(r"It called at \d\d:\d\d, \d s ago\.", green)


async def test_without_a_free_task_the_examples_contain_a_placeholder(alice, new) -> None:
    page = await create_agent(alice, new)
    assert "There is no unassigned task in the inbox" in page
    assert "/tasks/TASK_ID" in page


async def test_without_a_worker_the_examples_of_a_lead_say_what_to_put_in(alice, new) -> None:
    made = await alice.post("/boards", data={"name": "Only a lead"})
    [board_id] = re.findall(r"/boards/([\w-]+)", made.headers["Location"])
    page = await create_agent(alice, new | {"kind": "lead", "board_id": board_id})
    assert "put its ID in place of AGENT_ID." in page


async def test_worker_examples_move_no_task_if_only_the_lead_may(
    alice, new, world, transaction
) -> None:
    async with transaction() as session:
        world.board.only_lead_can_change_status = True
        await session.merge(world.board)
    page = await create_agent(alice, new)
    assert "only the lead moves tasks" in page
    assert "It has no lead yet" not in page
    assert "The old token works until" not in page
    assert not any("status" in line for line in commands(page) if "PATCH" in line)


async def test_the_examples_say_who_moves_tasks_without_a_lead(alice, new) -> None:
    rules = {"name": "Leaderless", "only_lead_can_change_status": "true"}
    made = await alice.post("/boards", data=rules)
    [board_id] = re.findall(r"/boards/([\w-]+)", made.headers["Location"])
    page = await create_agent(alice, new | {"board_id": board_id})
    assert "It has no lead yet: until then, people move them." in page


async def test_a_new_token_is_shown_once_and_both_work(
    alice, world, address, transaction, browsers
) -> None:
    made = await alice.post(f"{address}/tokens")
    assert made.headers["Location"] == f"{address}/calls"
    page = (await alice.get(f"{address}/calls")).text
    assert "The old token works until" in page
    token = shown_token(page)
    async with transaction() as session:
        of_worker = select(func.count()).where(AgentToken.agent_id == world.worker.id)
        assert await session.scalar(of_worker) == 2
    assert (await call(browsers, commands(page)[0])).status_code == 200
    assert token not in (await alice.get(f"{address}/calls")).text


async def test_an_old_token_can_be_ended_at_once(alice, world, address, browsers) -> None:
    assert 'name="ends_old"' in (await alice.get(f"{address}/settings")).text
    await alice.post(f"{address}/tokens", data={"ends_old": "on"})
    headers = {"X-Agent-Token": token_secret(world.worker)}
    refused = await browsers(None).get("/api/v1/agent/healthz", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_ended")
    assert refused.json()["detail"].startswith("This token was ended")


async def test_the_example_of_an_approval_leads_to_the_inbox(alice, new) -> None:
    assert (
        'under <a class="link" href="/approvals" target="_blank">Needs you</a>.'
        in await create_agent(alice, new)
    )
