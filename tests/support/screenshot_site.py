"""The demo, and objects of the kinds that the demo does not have, for the screenshots."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.fake_gateway import TOKEN, wait_until
from tests.support.fake_requests_gateway import run_fake_requests_gateway
from tests.support.gateway_site import GatewaySite
from tests.support.live_site import LiveSite
from tests.support.onboarding_stages import answer_question, make_draft, post_agent_message
from tests.support.screenshot_integrations import create_integrations

DEMO = ("demo", "--seed", "1", "--speed", "20")
DEMO_SECONDS = 20  # how long the agents work before the pictures; 7 minutes of the demo
OBJECTIVE = "Move every customer to the new invoices before the old ones are switched off"
HISTORY = [
    {"role": "user", "content": "Move the 40 accounts with two currencies next."},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I read the list first, then I move them one by one."},
            {
                "type": "toolCall",
                "id": "1",
                "name": "exec",
                "arguments": {"command": "bin/accounts --currencies 2 --format csv"},
            },
        ],
    },
    {"role": "toolResult", "toolCallId": "1", "content": "40 accounts, 3 of them are closed"},
    {"role": "assistant", "content": "3 of the 40 accounts are closed. I leave those out."},
]
FIELDS: dict[str, tuple[str, str, Any]] = {
    "effort": ("Effort in hours", "integer", 3),
    "audience": ("Audience", "text", "All customers"),
    "changelog": ("Changelog", "url", "https://docs.example.com/changelog/2-4"),
    "reviewed_on": ("Reviewed on", "date", None),
}
"""The label and type of each custom field, and its value on a task."""


def find_demo_objects(site: LiveSite) -> dict[str, str]:
    """Return the ids of objects of the demo by name."""
    call = site.owner.call
    found = {one["name"]: one["id"] for one in call("GET", "/boards")["items"]}
    ids = {name: found[title] for name, title in BOARDS.items()}
    agents = call("GET", f"/agents?board_id={ids['board']}")["items"]
    ids["agent"] = next(one["id"] for one in agents if one["name"] == "Juniper")
    ids["message"] = call("GET", f"/agents/{ids['agent']}/messages")["items"][0]["id"]
    tasks = call("GET", f"/boards/{ids['board']}/tasks")["items"]
    ids["task"] = next(one["id"] for one in tasks if one["title"].startswith("Publish the 2.4"))
    ids["group"] = call("GET", "/board-groups")["items"][0]["id"]
    ids["tag"] = call("GET", "/tags")["items"][0]["id"]
    ids["member"] = call("GET", "/organizations/me/member")["id"]
    return ids


BOARDS = {"board": "Release operations", "docs": "Docs refresh", "support": "Customer support"}


def create_objects(site: LiveSite, ids: dict[str, str]) -> dict[str, str]:
    """Create an empty board, custom fields, rules and an invitation, and decide an approval."""
    call, board = site.owner.call, ids["board"]
    pending = call("GET", f"/boards/{board}/approvals")["items"]
    decided, waiting = pending[0]["id"], pending[1]["id"]
    path = f"/boards/{board}/approvals/{decided}"
    site.owner.client.patch(path, json={"status": "approved"}).raise_for_status()
    names = {}
    for key, (label, type, _) in FIELDS.items():
        field: Any = {"field_key": key, "label": label, "field_type": type}
        created = call(
            "POST", "/organizations/me/custom-fields", **field, board_ids=[board, ids["docs"]]
        )
        names[key] = created["id"]
    values = {key: value for key, (_, _, value) in FIELDS.items() if value is not None}
    site.update_task({"id": board}, {"id": ids["task"]}, custom_field_values=values)
    rule = {"name": "Deployments", "effect": "ask_two", "kinds": ["deploy.*"]}
    small = {"name": "Small fixes in the docs", "effect": "allow", "kinds": ["docs.*"]}
    for place, scope in (("rule", f"/boards/{board}"), ("shared_rule", "/organizations/me")):
        stored = site.owner.client.put(f"{scope}/approval-policy", json={"rules": [rule, small]})
        stored.raise_for_status()
        names[place] = stored.json()["rules"][0]["id"]
    grants = [{"board_id": board}]
    invite = call(
        "POST", "/organizations/me/invites", invited_email="rita@example.com", board_access=grants
    )
    empty = site.create_board("Growth experiments", description="Small bets, one at a time")
    return names | {
        "approval": waiting,
        "decided": decided,
        "field": names["effort"],
        "invite": invite["token"],
        "empty": empty["id"],
    }


async def create_gateway_objects(billing: GatewaySite) -> dict[str, str]:
    """Create gateway requests, and a run of the agent on the gateway with a task."""
    site, gateway = billing.site, billing.gateway
    question: Any = {"questionId": "closed", "header": "Accounts"}
    question |= {"question": "What should happen to the three closed accounts?"}
    question |= {"options": [{"label": "Leave them"}, {"label": "Move them as well"}]}
    command = await billing.request_command("bin/migrate --accounts 40 --currency EUR")
    await gateway.ask_questions("accounts", question | {"isOther": True}, agent=billing.agent_key)
    task = await asyncio.to_thread(
        site.create_task, billing.board, "Move the accounts with two currencies"
    )
    change = {"status": "in_progress", "assigned_agent_id": billing.agent["id"]}
    await asyncio.to_thread(lambda: site.update_task(billing.board, task, **change))
    gateway.active_runs[billing.session_key] = {"runId": "run-1", "text": "", "events": []}
    for number, title in enumerate(("bin/accounts --currencies 2", "git diff --stat")):
        step = {"kind": "tool", "name": "exec", "title": title, "toolCallId": f"c-{number}"}
        for phase, status in (("start", "running"), ("end", "completed")):
            await gateway.send_run_step(
                "run-1", billing.agent_key, "item", **step, phase=phase, status=status
            )
    row = {"key": "agent:main:main", "agentId": "main", "label": "Invoices", "status": "done"}
    gateway.sessions[row["key"]] = row | {"totalTokens": 122_000, "contextTokens": 200_000}
    gateway.handlers["chat.history"] = lambda _: {"messages": HISTORY}
    gateway.entries["writer"] = {"name": "Writer", "workspace": "/home/writer"}
    request = await billing.wait_for_request("accounts")
    return {
        "billing": billing.board["id"],
        "docker": billing.agent["id"],
        "worked_on": task["id"],
        "command": command["id"],
        "question": request["id"],
    }


async def create_onboardings(billing: GatewaySite, gateway_id: str) -> dict[str, str]:
    """Create a board for each stage of the onboarding."""
    site, call = billing.site, billing.site.owner.call
    asker = await site.connect_gateway_agent(billing.gateway, f"mc-gateway-{gateway_id}")
    titles = {
        "unasked": "Webinars",
        "waited": "Hiring",
        "asked": "Partner programme",
        "drafted": "Partners in Austria",
    }

    def create() -> dict[str, str]:
        made = {
            name: site.create_board(title, description=title, gateway_id=gateway_id)
            for name, title in titles.items()
        }
        for name in ("waited", "asked", "drafted"):
            call("POST", f"/boards/{made[name]['id']}/onboarding/start")
        for name in ("asked", "drafted"):
            options = ["Find ten partners", "Support the partners we have", "Something else"]
            post_agent_message(
                asker, made[name], question="What is this board for?", options=options
            )
            answer_question(site, made[name], options[0])
        options = ["Nothing without asking", "Balanced", "Everything but e-mails"]
        question = "How much may the lead of the board decide on its own?"
        post_agent_message(asker, made["asked"], question=question, options=options)
        post_agent_message(asker, made["drafted"], **make_draft())
        alone = site.create_board("Bookkeeping", description="Books")
        goal: Any = {"board_type": "goal", "objective": OBJECTIVE}
        goal |= {"success_metrics": {"Invoices": "all of them"}, "lead_agent": {"name": "Ava"}}
        for step, body in (("start", {}), ("confirm", goal)):
            call("POST", f"/boards/{alone['id']}/onboarding/{step}", **body)
        return {name: board["id"] for name, board in (made | {"launched": alone}).items()}

    return await asyncio.to_thread(create)


def _create_gateways(site: LiveSite, url: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Create an unreachable gateway and one with a board and an agent, and return the latter."""
    call = site.owner.call
    way: Any = {"workspace_root": "/agents", "token": TOKEN}
    harbour = call("POST", "/gateways", name="harbour-1", url=url, **way)
    call("POST", "/gateways", name="studio", url="ws://127.0.0.1:9/studio", **way)
    board = site.create_board(
        "Billing migration", gateway_id=harbour["id"], objective=OBJECTIVE, description=OBJECTIVE
    )
    agent = call("POST", "/agents", name="Sorrel", board_id=board["id"])
    return harbour["id"], board, agent


@asynccontextmanager
async def fill_demo(site: LiveSite) -> AsyncGenerator[dict[str, str]]:
    """Add objects of every other kind to the demo, and return the ids of objects by name."""
    ids = find_demo_objects(site)
    ids |= create_objects(site, ids)
    async with run_fake_requests_gateway() as fake:
        gateway_id, board, agent = await asyncio.to_thread(_create_gateways, site, fake.url)
        await wait_until(lambda: any(method == "question.list" for method, _ in fake.calls))
        billing = GatewaySite(site, fake, board, agent)
        ids |= await create_gateway_objects(billing)
        ids |= await create_onboardings(billing, gateway_id)
        ids["gateway"] = gateway_id
        ids |= await asyncio.to_thread(create_integrations, site, ids)
        yield ids
