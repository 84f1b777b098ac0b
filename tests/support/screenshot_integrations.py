"""Skills, webhooks and channels for the screenshots: the demo has none."""

import re
from typing import Any

import httpx2

from tests.support.live_site import LiveSite
from tests.support.skill_archives import make_zip

CHANGELOG = """---
name: Changelog writer
description: Writes release notes from merged changes, for customers and not for developers.
category: writing
risk: low
---
# Changelog writer

1. Read the titles and descriptions of all merged changes since the last release.
2. Leave out what customers cannot see.
3. Write one sentence for each change. Breaking changes come first.
"""
TRIAGE = """---
name: Ticket triage
description: Sorts new tickets by product area and urgency, and asks for what is missing.
category: support
risk: moderate
---
# Ticket triage

Read the ticket to its end. Then set the area, the urgency and one tag.
"""
FILES = {"changelog/SKILL.md": CHANGELOG, "triage/SKILL.md": TRIAGE}
UPDATE = {
    "changelog/SKILL.md": CHANGELOG.replace("Breaking", "Link each to its task. Breaking"),
    "changelog/style.md": "Short sentences, present tense.\n",
    "migrations/SKILL.md": "---\nname: Migration checks\nrisk: high\n---\n# Migration checks\n",
}
PULL_REQUEST = {
    "action": "opened",
    "repository": {"full_name": "tern/server", "html_url": "https://github.com/tern/server"},
    "pull_request": {"number": 214, "title": "Read the changelog in pages"},
    "sender": {"login": "pike"},
}


def open_client(site: LiveSite) -> httpx2.Client:
    """Open a client of the pages with the session of the owner."""
    cookies = {one["name"]: one["value"] for one in site.storage_state["cookies"]}
    headers = {"Sec-Fetch-Site": "same-origin"}
    return httpx2.Client(base_url=site.installation.url, cookies=cookies, headers=headers)


def create_skills(site: LiveSite, client: httpx2.Client, gateway_id: str) -> dict[str, str]:
    """Upload a pack, install a skill, and upload an update that waits to be accepted."""

    def upload(files: dict[str, str]) -> str:
        archive = {"archive": ("pack.zip", make_zip(files))}
        data = {"pack_name": "Skills of our team"}
        sent = client.post("/skills/packs/uploads", data=data, files=archive)
        return sent.headers["Location"]

    path = upload(FILES)
    _, digest = re.findall(r'name="(shown)" value="([^"]+)"', client.get(path).text)[0]
    client.post(f"{path}/acceptances", data={"shown": digest})
    found = site.owner.call("GET", f"/skills/marketplace?gateway_id={gateway_id}")
    skills = {one["name"]: one["id"] for one in found}
    changelog = skills["Changelog writer"]
    site.owner.call("POST", f"/skills/marketplace/{changelog}/install?gateway_id={gateway_id}")
    upload(UPDATE)
    return {"pack": path.rpartition("/")[2], "skill": skills["Ticket triage"]}


def create_webhooks(site: LiveSite, board: str) -> dict[str, str]:
    """Create a webhook of a board with a payload, and an outgoing one with deliveries."""
    path = f"/boards/{board}/webhooks"
    webhook = site.owner.call("POST", path, description="Triage what GitHub reports.")
    headers = {"X-Gitlab-Token": webhook["generated_secret"], "X-GitHub-Event": "pull_request"}
    payload = site.owner.client.post(f"{path}/{webhook['id']}", headers=headers, json=PULL_REQUEST)
    fields: dict[str, Any] = {
        "url": "https://warehouse.example.com/events",
        "description": "Data warehouse",
        "event_types": ["task.created", "approval.approved"],
    }
    endpoint = site.owner.call("POST", "/webhooks", **fields)["id"]
    return {"webhook": webhook["id"], "payload": payload.json()["payload_id"], "endpoint": endpoint}


def create_channel(client: httpx2.Client) -> dict[str, str]:
    """Create a channel to a chat."""
    fields = {"url": "https://hooks.slack.com/services/T0/B0/tern", "name": "Release chat"}
    path = client.post("/settings/channels/new/slack", data=fields).headers["Location"]
    return {"channel": path.rpartition("/")[2]}


def find_note(site: LiveSite, board: str) -> dict[str, str]:
    """Return the id of the newest note of a board."""
    text = "Freeze on Thursdays: no deployment after 16:00, and none on Fridays."
    site.owner.call("POST", f"/boards/{board}/memory", content=text, tags=["decision"])
    notes = site.owner.call("GET", f"/boards/{board}/memory?is_chat=false")["items"]
    return {"note": notes[0]["id"]}


def create_integrations(site: LiveSite, ids: dict[str, str]) -> dict[str, str]:
    """Create all of them, and return their ids by name."""
    with open_client(site) as client:
        made = create_skills(site, client, ids["gateway"]) | create_channel(client)
    board = ids["board"]
    return made | create_webhooks(site, board) | find_note(site, board)
