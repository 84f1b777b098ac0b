"""The commands in the guide to outgoing webhooks work, and it names all event types."""

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.clock import now
from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.http.outbound import OutboundOutcome
from services.webhook_endpoints import EVENT_GROUPS
from services.webhook_endpoints.catalog import DETAILS
from tests.support.live_server import run_bash, run_server
from tests.support.people_rows import token_secret
from tests.support.webhook_receiver import (
    WebhookReceiver,
    parse_headers,
    receiver,
)

__all__ = ["receiver"]


GUIDE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
OUTGOING = GUIDE.partition("# Outgoing webhooks\n")[2]
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", OUTGOING, re.DOTALL | re.MULTILINE))


def list_commands(section: str, language: str = "sh") -> list[str]:
    """Return the commands of a section."""
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


def test_the_guide_names_all_types_fields_and_outcomes() -> None:
    sent = SECTIONS["What an outgoing webhook sends"]
    for group, types in EVENT_GROUPS.items():
        [line] = [line for line in sent.splitlines() if line.startswith(f"| `{group}.")]
        for name in (*types, *DETAILS[group]):
            assert f"`{name}`" in line
    outcomes = {one.value for one in OutboundOutcome} - {"delivered"}
    named = re.findall(r"`(\w+)`", SECTIONS["Retries of outgoing webhooks"])
    assert outcomes <= set(named)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs them")
async def test_the_commands_for_outgoing_webhooks_work(
    receiver: WebhookReceiver, isolated_settings: Settings
) -> None:
    """Create one, verify what it sends, try it, repeat deliveries, and rotate the secret."""
    world = receiver.world
    allowed = isolated_settings.model_copy(update={"outbound_allow_private": LOOPBACK_NETWORKS})
    async with run_server(allowed) as url:
        where = {"BASE_URL": url, "API_TOKEN": token_secret(world.alice), "RECEIVER": receiver.url}

        async def run(command: str) -> Any:
            return json.loads(await run_bash(command, **where))

        created = await run(list_commands("Creating an outgoing webhook")[0])
        where |= {"WEBHOOK": created["id"], "SECRET": created["secret"]}
        await receiver.record_event(title="Größe")
        await receiver.deliver()
        await verify_request(receiver, created["secret"])

        commands = iter(list_commands("Testing and repeating outgoing webhooks"))
        test = await run(next(commands))
        await receiver.deliver()
        log = await run(next(commands))
        assert [one["state"] for one in log["items"]] == ["delivered", "delivered"]
        assert log["items"][0]["id"] == test["id"]
        where |= {
            "DELIVERY": test["id"],
            "SINCE": (now() - timedelta(hours=1)).isoformat(),
            "UNTIL": (now() + timedelta(hours=1)).isoformat(),
        }
        assert (await run(next(commands)))["state"] == "pending"
        assert await run(next(commands)) == {"count": 0}
        assert (await run(next(commands)))["state"] == "enabled"
        assert (await run(next(commands)))["secret"] != created["secret"]
    await receiver.deliver()
    ids = [headers["webhook-id"] for headers, _ in receiver.list_received()]
    assert ids[1:] == [test["id"], test["id"]]


async def verify_request(receiver: WebhookReceiver, secret: str) -> None:
    """Verify the first request as the guide shows."""
    head, body = receiver.host.received[0]
    headers = parse_headers(head)
    [code] = list_commands("Verifying an outgoing webhook", "python")
    names: dict[str, Any] = {"secret": secret, "body": body, "headers": headers}
    exec(code, names)
    assert names["event"] == json.loads(body)
    values = {
        "SECRET": secret,
        "WEBHOOK_ID": headers["webhook-id"],
        "WEBHOOK_TIMESTAMP": headers["webhook-timestamp"],
        "WEBHOOK_SIGNATURE": headers["webhook-signature"],
    }
    [command] = list_commands("Verifying an outgoing webhook")
    assert (await run_bash(command, **values, BODY=body.decode())).strip() == "verified"
    assert (await run_bash(command, **values, BODY="{}")).strip() == "forged"
