"""The commands in the guide to incoming webhooks work, and so does the reference library."""

import html
import json
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Message
from tests.support.live_server import run_bash, run_server
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

GUIDE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE))


def list_commands(section: str) -> list[str]:
    """Return the commands of a section."""
    return re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
async def url(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    """The URL of a real server."""
    async with run_server(isolated_settings) as where:
        yield where


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs them")
async def test_the_commands_for_webhooks_work(
    url: str, isolated_world: World, isolated_transaction: TransactionFactory
) -> None:
    """W-17. Create a webhook, send to it in both formats, replace the secret, read a payload."""
    world = isolated_world
    where = {"BASE_URL": url, "API_TOKEN": token_secret(world.alice), "BOARD": str(world.board.id)}

    async def run(section: str) -> list[dict[str, Any]]:
        return [json.loads(await run_bash(one, **where)) for one in list_commands(section)]

    [made] = await run("Creating one")
    where |= {
        "URL": f"{url}{made['endpoint_path']}",
        "SECRET": made["generated_secret"],
        "WEBHOOK": made["id"],
    }
    first, second = await run("Sending")
    assert first["ok"]
    assert second["ok"]
    assert await run("Sending") == [first, second]  # repeated deliveries

    where |= {"PAYLOAD": second["payload_id"], "AUTH_TOKEN": token_secret(world.lead)}
    [read] = await run("What agents get")
    assert read["payload"] == {"build": 4712, "state": "failed"}
    async with isolated_transaction() as session:
        messages = (await session.scalars(select(Message))).all()
        assert {one.agent_id for one in messages} == {world.lead.id}
        assert len(messages) == 2

    replaced, ended = await run("Replacing a secret")
    assert replaced["generated_secret"] != made["generated_secret"]
    assert ended["previous_secret_expires_at"] is None
    refused = json.loads(await run_bash(list_commands("Sending")[0], **where))
    assert refused["code"] == "webhook_signature_invalid"

    [allowed] = await run("Unsigned payloads")
    assert allowed["allows_unsigned"]
    unsigned = json.loads(await run_bash('curl -sS "$URL" -d "{}"', **where))
    assert unsigned["ok"]


async def test_requests_of_the_reference_library_are_accepted(
    url: str, isolated_world: World
) -> None:
    """W-17. The library of Standard Webhooks signs for a sender."""
    path = f"{url}/api/v1/boards/{isolated_world.board.id}/webhooks"
    headers = {"Authorization": f"Bearer {token_secret(isolated_world.alice)}"}
    async with httpx2.AsyncClient(headers=headers, timeout=20) as client:
        made = (await client.post(path, json={"description": "Builds"})).json()
        body, at = '{"build": "grün"}', datetime.now(UTC)
        signature = Webhook(made["generated_secret"]).sign("msg_1", at, body)
        sent = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        answer = await client.post(f"{path}/{made['id']}", content=body.encode(), headers=sent)
        assert answer.status_code == 202
        forged = await client.post(f"{path}/{made['id']}", content=b"{}", headers=sent)
        assert forged.status_code == 403


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs them")
async def test_the_command_on_the_page_of_a_webhook_works(
    url: str, isolated_settings: Settings, isolated_world: World
) -> None:
    """W-17. With a new secret, one that is not shown, a header with signs of a shell, and none."""
    cookies = {SESSION_COOKIE: cookie_secret(isolated_world.alice)}
    path = f"/boards/{isolated_world.board.id}/webhooks"
    options: dict[str, Any] = {"headers": {"Sec-Fetch-Site": "same-origin"}, "timeout": 20}

    async with httpx2.AsyncClient(base_url=url, cookies=cookies, **options) as client:

        async def post(address: str, **fields: str) -> str:
            answer = await client.post(address, data=fields)
            assert answer.status_code == 303, answer.text
            return (await client.get(answer.headers["location"])).text

        async def run(page: str, secret: str = "") -> dict[str, Any]:
            [shown] = re.findall(r"<pre [^>]*>([^<]*curl [^<]*)</pre>", page)
            command = html.unescape(shown).replace(isolated_settings.base_url, url)
            return json.loads(await run_bash(command.replace("YOUR_SECRET", secret)))

        page = await post(path, description="Builds")
        assert "YOUR_SECRET" not in page
        assert (await run(page))["ok"]
        [hook] = re.findall(rf'href="({path}/[0-9a-f-]{{36}})/edit"', page)

        own = "with spaces, $HOME and `id`"
        page = await post(f"{hook}/secrets", secret=own)
        assert own not in html.unescape(page)
        assert (await run(page, own))["ok"]
        assert (await run(page, "wrong"))["code"] == "webhook_signature_invalid"

        fields = {"description": "Builds", "enabled": "true", "signature_header": "X-'$HOME`id`"}
        page = await post(f"{hook}/edit", **fields)
        assert (await run(page, own))["ok"]

        page = await post(f"{hook}/unsigned-payloads")
        assert "HMAC" not in page
        assert (await run(page))["ok"]
