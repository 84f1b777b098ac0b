"""Odd addresses of skills, and what reaches the agent of a gateway unchanged."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent, Gateway
from services.skills.sources import infer_name
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.skill_archives import COMMIT, OTHER_COMMIT, ArchiveHost
from tests.support.skills_api import (
    MARKETPLACE,
    add_pack,
    api_app,
    call,
    card,
    gateway,
    host,
    list_cards,
    list_messages,
    main_agent,
    request_action,
    sync,
)

__all__ = ["api_app", "card", "gateway", "host", "main_agent"]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("a%00b", "a\ufffdb"),
        ("a%0Ab%1B", "a b"),
        ("a%E2%80%AEb", "ab"),
        ("%ED%A0%80", "\ufffd\ufffd\ufffd"),
        ("%E2%80%AE", "skills.example"),
        ("writing-well.git", "writing well"),
    ],
)
async def test_the_name_of_an_address_is_one_line(alice: Client, part: str, name: str) -> None:
    url = f"https://skills.example/{part}"
    assert (await call(alice, "POST", MARKETPLACE, json={"source_url": url}))["name"] == name
    assert infer_name(f"https://skills.example/x/{part}") == name


@pytest.mark.parametrize("digest", ["%00", "x", "0" * 63, "0" * 65, "A" * 64])
async def test_only_a_digest_names_a_version(
    card: dict[str, Any], main_agent: Agent, client_for: ClientFactory, digest: str
) -> None:
    agent = client_for(main_agent)
    await call(agent, "GET", f"/agent/skills/{card['id']}/versions/{digest}", 422)


async def test_addresses_and_folders_reach_the_agent_uncut(
    alice: Client, gateway: Gateway, main_agent: Agent, transaction: TransactionFactory
) -> None:
    url, root = "https://skills.example/" + "a/" * 280 + "end", "/agents" + "/a" * 400
    async with transaction() as session:
        (await session.get_one(Gateway, gateway.id)).workspace_root = root
    skill = await call(alice, "POST", MARKETPLACE, json={"source_url": url})
    await request_action(alice, skill, gateway)
    [message] = await list_messages(transaction, main_agent)
    lines = message.content.split("\n")
    assert f"Source URL: {url}" in lines
    assert f"Destination: {root}/skills" in lines


async def test_files_name_the_folder_of_the_request(
    alice: Client,
    gateway: Gateway,
    main_agent: Agent,
    host: ArchiveHost,
    client_for: ClientFactory,
) -> None:
    """The folder of the skill can be another one since then."""
    host.put({"SKILL.md": "---\nname: First name\n---\nText."}, commit=COMMIT)
    pack = await add_pack(alice)
    await sync(alice, pack)
    [skill] = await list_cards(alice, gateway)
    await request_action(alice, skill, gateway)
    host.put({"SKILL.md": "---\nname: Second name\n---\nText."}, commit=OTHER_COMMIT)
    await sync(alice, pack)
    path = f"/agent/skills/{skill['id']}/versions/{skill['digest']}"
    files = await call(client_for(main_agent), "GET", path)
    assert (files["name"], files["folder"]) == ("Second name", "first-name")
