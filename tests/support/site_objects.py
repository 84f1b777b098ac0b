"""Objects of every kind, created as people and agents create them."""

import asyncio
import re
from typing import Any

from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.gateway_site import GatewaySite
from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite

LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverleihung"
LONG_TEXT = f"""## Why

A [link](https://example.com/{LONG_WORD.lower()}/{LONG_WORD.lower()}), `{LONG_WORD}{LONG_WORD}`, and

| Port | What is loaded there | Who asked for it |
| ---- | -------------------- | ---------------- |
| Vienna | {LONG_WORD} | {LONG_WORD} |

```
{LONG_WORD} {LONG_WORD} {LONG_WORD}
```
"""


ARABIC = "مراجعة خطة الإطلاق"
EMOJI = "👩🏽‍🚀🏳️‍🌈🇺🇳"  # each of several characters that are shown as one
UNUSUAL_TEXT = f"""{ARABIC} {EMOJI}

- {ARABIC}، `make test` (v2.1)
- {EMOJI * 20}
- 发布前请检查所有设置。{"发布" * 60}
- \u05e9\u05dc\u05d5\u05dd, {LONG_WORD} \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35

> {ARABIC * 10}
"""
"""A text from right to left with left-to-right parts, emoji and texts without spaces."""

FIELD_DEFAULTS: dict[str, Any] = {
    "text": LONG_WORD * 2,
    "text_long": LONG_TEXT,
    "integer": 2**40,
    "decimal": 1.5,
    "boolean": True,
    "date": "2026-12-24",
    "date_time": "2026-12-24T18:30:00Z",
    "url": f"https://example.com/{LONG_WORD.lower() * 2}",
    "json": {LONG_WORD: [LONG_WORD * 2]},
}
"""A default value of a custom field of each type."""


def create_site_objects(site: LiveSite) -> dict[str, str]:
    """Create boards with tasks and approvals, and an unreachable gateway."""
    board = site.create_board(
        f"Ports of the {LONG_WORD}", objective=f"Know all {LONG_WORD} by heart"
    )
    empty = site.create_board("Nothing here yet", description=LONG_WORD)
    agent = site.create_agent(board, f"Juniper {LONG_WORD}"[:100])
    first = site.create_task(
        board, f"Find {LONG_WORD}", priority="high", due_at="2020-01-01T00:00:00"
    )
    task = site.create_task(
        board,
        f"Learn {LONG_WORD}{LONG_WORD}",
        description=LONG_TEXT,
        depends_on_task_ids=[first["id"]],
    )
    done = site.create_task(board, f"Have learnt {LONG_WORD}")
    dropped = site.create_task(board, f"Forget {LONG_WORD}{LONG_WORD}")
    site.owner.call("DELETE", f"/boards/{board['id']}/tasks/{dropped['id']}")
    for each in (first, task):
        path = f"/agent/boards/{board['id']}/tasks/{each['id']}/comments"
        agent.call("POST", path, message=LONG_TEXT)
    for content, tags in [(LONG_TEXT, ["chat"]), (LONG_TEXT, ["decision", LONG_WORD[:60]])]:
        agent.call("POST", f"/agent/boards/{board['id']}/memory", content=content, tags=tags)
    for content in (LONG_TEXT, "/pause", "/resume"):
        path = f"/boards/{board['id']}/memory"
        site.owner.call("POST", path, content=content, tags=["chat"])
    decided = site.request_approval(agent, board, done, f"Was {LONG_WORD} learnt?")
    path = f"/boards/{board['id']}/approvals/{decided['id']}"
    site.owner.client.patch(path, json={"status": "approved"}).raise_for_status()
    site.update_task(board, done, status="done")
    question = site.request_approval(
        agent, board, task, f"May I learn {LONG_WORD}{LONG_WORD}?", sure=40
    )
    site.request_approval(agent, board, first, "May I begin?")
    gateway = site.create_gateway(
        f"Gateway of the {LONG_WORD}", f"ws://127.0.0.1:9/{LONG_WORD[:30]}/{'x' * 200}"
    )
    [me] = site.owner.call("GET", f"/agents?board_id={board['id']}")["items"]
    messages = site.owner.call("GET", f"/agents/{me['id']}/messages")["items"]
    group = create_group(site, agent, board, empty)
    invited = f"{LONG_WORD[:40]}@example.com"
    grants = [{"board_id": one["id"]} for one in (board, empty)]
    site.owner.call("POST", "/organizations/me/invites", invited_email=invited, board_access=grants)
    tag = site.owner.call("POST", "/tags", name=LONG_WORD, description=LONG_TEXT)
    site.update_task(board, task, tag_ids=[tag["id"]])
    fields = [create_field(site, type, value, board) for type, value in FIELD_DEFAULTS.items()]
    return {
        "tag": tag["id"],
        "member": site.owner.call("GET", "/organizations/me/member")["id"],
        "field": fields[0]["id"],
        "group": group["id"],
        "note": find_note(site, f"/boards/{board['id']}/memory"),
        "group_note": find_note(site, f"/board-groups/{group['id']}/memory"),
        "message": messages[0]["id"],
        "board": board["id"],
        "empty": empty["id"],
        "agent": me["id"],
        "coding_session": create_coding_session(site, agent, me["id"]),
        "file_version": site.create_file_version(me["id"], LONG_TEXT),
        "gateway": gateway["id"],
        "task": task["id"],
        "first": first["id"],
        "bare": create_unusual_task(site, empty),
        "approval": question["id"],
        "decided": decided["id"],
        "channel": create_channel(site),
        **create_webhook(site, board),
        "asked_person": ask_person(site, agent, board, task),
        "rule": create_rule(site, f"/boards/{board['id']}"),
        "shared_rule": create_rule(site, "/organizations/me"),
        **create_webhooks(site, board),
        **create_skills(site, gateway["id"]),
    }


def create_coding_session(site: LiveSite, agent: ApiClient, agent_id: str) -> str:
    """Let the hook of a client report a session and ask for a call, and return the session's id."""
    origin = str(agent.client.base_url).partition("/api/")[0]
    request = {"session_id": LONG_WORD, "cwd": f"/home/ada/{LONG_WORD * 2}"}
    read = {"tool_name": "Read", "tool_input": {"file_path": f"{request['cwd']}/{LONG_WORD}"}}
    for event, more in (("SessionStart", {}), ("PreToolUse", {**read, "tool_use_id": LONG_WORD})):
        body = {"hook_event_name": event, **request, **more}
        agent.client.post(f"{origin}/hooks/claude", json=body).raise_for_status()
    path = f"/agents/{agent_id}/sessions"
    with site.open_pages() as client:
        return str(re.findall(rf'href="{path}/([\w-]+)"', client.get(path).text)[0])


def create_unusual_task(site: LiveSite, board: dict[str, Any]) -> str:
    """Create a task in a script from right to left, and return its id."""
    task = site.create_task(board, f"{ARABIC} {EMOJI}", description=UNUSUAL_TEXT)
    path = f"/boards/{board['id']}"
    site.owner.call("POST", f"{path}/tasks/{task['id']}/comments", message=UNUSUAL_TEXT)
    site.owner.call("POST", f"{path}/memory", content=UNUSUAL_TEXT, tags=["chat", ARABIC])
    return str(task["id"])


def find_note(site: LiveSite, path: str) -> str:
    """Return the id of the newest note that is not a chat message."""
    return site.owner.call("GET", f"{path}?is_chat=false")["items"][0]["id"]


def create_skills(site: LiveSite, gateway_id: str) -> dict[str, str]:
    """Create a pack without content, and a skill that is requested on a gateway."""
    url = f"https://skills.example/{LONG_WORD}"
    skill = site.owner.call(
        "POST", "/skills/marketplace", source_url=url, name=LONG_WORD * 2, description=LONG_TEXT
    )
    path = f"/skills/marketplace/{skill['id']}/install?gateway_id={gateway_id}"
    site.owner.call("POST", path)
    pack = site.owner.call(
        "POST", "/skills/packs", source_url="https://github.com/tern/skills", name=LONG_WORD * 2
    )
    return {"skill": skill["id"], "pack": pack["id"]}


def create_webhooks(site: LiveSite, board: dict[str, Any]) -> dict[str, str]:
    """Create a webhook with a signed and an unsigned payload, and one that is off."""
    path = f"/boards/{board['id']}/webhooks"
    webhook = site.owner.call("POST", path, description=LONG_TEXT)
    site.owner.call("PATCH", f"{path}/{webhook['id']}", allows_unsigned=True)
    unsigned = {"X-Gitlab-Event": "Pipeline" * 20}
    for headers in ({"X-Gitlab-Token": webhook["generated_secret"], **unsigned}, unsigned):
        response = site.owner.client.post(
            f"{path}/{webhook['id']}", headers=headers, json={LONG_WORD * 2: [LONG_TEXT]}
        )
    other = site.owner.call("POST", path, description=LONG_WORD, enabled=False)
    payload_id = response.json()["payload_id"]
    return {"webhook": webhook["id"], "other_webhook": other["id"], "payload": payload_id}


def create_field(site: LiveSite, type: str, value: Any, board: dict[str, Any]) -> dict[str, Any]:
    """Create a custom field of a type with a default value."""
    names: dict[str, Any] = {"field_key": f"{type}_{LONG_WORD}", "label": f"{type} {LONG_WORD}"}
    created: dict[str, Any] = site.owner.call(
        "POST",
        "/organizations/me/custom-fields",
        **names,
        field_type=type,
        default_value=value,
        description=LONG_WORD,
        board_ids=[board["id"]],
    )
    return created


def create_group(site: LiveSite, agent: Any, *boards: dict[str, Any]) -> dict[str, Any]:
    """Create a group of boards with a chat message and a note of an agent."""
    group: dict[str, Any] = site.owner.call(
        "POST", "/board-groups", name=f"All {LONG_WORD}", description=LONG_WORD * 2
    )
    for board in boards:
        change = {"board_group_id": group["id"]}
        site.owner.client.patch(f"/boards/{board['id']}", json=change).raise_for_status()
    path = f"/boards/{boards[0]['id']}/group-memory"
    for tags in (["chat", "broadcast"], ["decision", LONG_WORD[:60]]):
        agent.call("POST", path, content=LONG_TEXT, tags=tags)
    return group


def create_channel(site: LiveSite) -> str:
    """Create a channel with a failed test, and return its id."""
    with site.open_pages() as client:
        fields = {"url": "http://receiver.invalid/", "name": LONG_WORD}
        path = client.post("/settings/channels/new/slack", data=fields).headers["Location"]
        client.post(f"{path}/tests", data={})
    return path.rpartition("/")[2]


def create_webhook(site: LiveSite, board: dict[str, Any]) -> dict[str, str]:
    """Create a webhook of a board with a failed test, and return their ids."""
    fields: dict[str, Any] = {
        "url": f"http://receiver.invalid/{LONG_WORD * 4}",
        "description": LONG_WORD * 2,
        "event_types": ["task.created"],
        "board_ids": [board["id"]],
    }
    webhook = site.owner.call("POST", "/webhooks", **fields)["id"]
    test = site.owner.call("POST", f"/webhooks/{webhook}/tests")
    return {"endpoint": webhook, "delivery": test["id"]}


def ask_person(site: LiveSite, agent: Any, board: dict[str, Any], task: dict[str, Any]) -> str:
    """Ask people as a worker, and return the id of the question."""
    path = f"/boards/{board['id']}"
    site.owner.client.patch(path, json={"workers_may_ask_people": True}).raise_for_status()
    ask = f"/agent{path}/gateway/main/ask-user"
    agent.call("POST", ask, content=f"{LONG_WORD} {LONG_TEXT}", task_id=task["id"])
    with site.open_pages() as client:
        listed = client.get(f"/approvals?board={board['id']}").text
        [id] = re.findall(r'href="/questions/([^"]+)"', listed)
    return str(id)


def create_rule(site: LiveSite, scope: str) -> str:
    """Create a policy with a disabled rule, and return the id of the rule."""
    rule = {"name": f"Ports of {LONG_WORD}", "effect": "ask_two", "kinds": [f"{LONG_WORD}.*"]}
    rules = [rule | {"is_enabled": False}, rule | {"is_enabled": False}]
    stored = site.owner.client.put(f"{scope}/approval-policy", json={"rules": rules})
    stored.raise_for_status()
    return str(stored.json()["rules"][0]["id"])


def fill_workshop(fake_gateway: FakeAgentsGateway) -> None:
    """Add agents to link, and a session with a long transcript."""
    fake_gateway.entries["writer"] = {
        "name": LONG_WORD,
        "workspace": f"/home/{LONG_WORD}/{LONG_WORD}",
    }
    fake_gateway.entries["mc-0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"] = {"name": LONG_WORD}
    row = {"key": "agent:main:main", "agentId": "main", "label": LONG_WORD, "status": "failed"}
    tokens = {"totalTokens": 120_000, "contextTokens": 128_000, "updatedAt": 1_795_603_318_964}
    fake_gateway.sessions[row["key"]] = row | tokens
    call = {"type": "toolCall", "id": "1", "name": "exec", "arguments": {"command": LONG_WORD * 3}}
    messages = [
        {"role": "user", "content": LONG_TEXT, "timestamp": 1_795_603_318_964},
        {"role": "assistant", "content": [{"type": "text", "text": LONG_TEXT}, call]},
        {"role": "toolResult", "toolCallId": "1", "content": LONG_WORD * 9, "isError": True},
        {"role": "custom", "content": LONG_WORD},
        {"role": "assistant", "content": [], "stopReason": "error", "errorMessage": LONG_WORD * 2},
    ]
    message = {"messages": messages, "hasMore": True, "sessionInfo": {"hasActiveRun": True}}
    fake_gateway.handlers["chat.history"] = lambda _: message


async def create_short_agent(
    site: LiveSite, fake_gateway: FakeAgentsGateway, gateway_id: str
) -> None:
    """Create an agent on the gateway whose name and board are short, so that links are close."""
    board = site.create_board("Hub", gateway_id=gateway_id)
    agent = site.owner.call("POST", "/agents", name="Juniper", board_id=board["id"])
    await site.connect_gateway_agent(fake_gateway, f"mc-{agent['id']}")


async def create_gateway_objects(quay: GatewaySite) -> dict[str, str]:
    """Create gateway requests and a run of a gateway agent."""
    question: Any = {"questionId": "port", "header": "Port", "question": f"Which {LONG_WORD}?"}
    question |= {"options": [{"label": LONG_WORD, "description": LONG_TEXT}, {"label": "None"}]}
    question |= {"isOther": True}
    many = question | {"questionId": "ports", "multiSelect": True}
    over = await quay.request_command(f"cat {LONG_WORD}")
    await quay.gateway.decide_elsewhere(over["request_id"], "deny")
    command = await quay.request_command(
        f"rm -rf {LONG_WORD}/{LONG_WORD}\n\u202e{LONG_WORD}", warningText=LONG_TEXT
    )
    await quay.gateway.ask_questions("ask", question, many, agent=quay.agent_key)
    task = await asyncio.to_thread(quay.site.create_task, quay.board, f"Unload {LONG_WORD}")
    change = {"status": "in_progress", "assigned_agent_id": quay.agent["id"]}
    await asyncio.to_thread(lambda: quay.site.update_task(quay.board, task, **change))
    quay.gateway.active_runs[quay.session_key] = {"runId": "run-1", "text": "", "events": []}
    tool = {"kind": "tool", "name": "exec", "title": LONG_WORD * 2, "error": LONG_WORD * 2}
    for number in range(3):
        for phase in ("start", "end"):
            id = f"c-{number}"
            step = tool | {"toolCallId": id, "phase": phase, "status": "failed"}
            await quay.gateway.send_run_step("run-1", quay.agent_key, "item", **step)
    await quay.gateway.send_run_step(
        "run-1", quay.agent_key, "command_output", output=LONG_TEXT * 5
    )
    await quay.gateway.send_run_step("run-1", quay.agent_key, "lifecycle", phase="waiting-approval")
    return {
        "quay": quay.board["id"],
        "docker": quay.agent["id"],
        "worked_on": task["id"],
        "command": command["id"],
        "question": (await quay.wait_for_request("ask"))["id"],
        "over": over["id"],
    }
