"""Versions of an agent's files: authors, secrets, restoring, and souls that are stored here."""

import re
from dataclasses import replace

import httpx2
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, AgentFileVersion, FileAuthor
from services import agents, boards
from services.agents import FileContent, SoulUpdate
from tests.support.agent_file_pages import (
    SOUL,
    TOKEN,
    address,
    authors,
    files,
    shown_text,
    shown_text_of_review,
    typed,
)
from tests.support.world import World

__all__ = ["address", "files"]


async def test_typed_tokens_are_written_but_not_in_the_history(
    alice: httpx2.AsyncClient,
    address: str,
    files: dict[str, str],
    world: World,
    transaction: TransactionFactory,
) -> None:
    text = f"Use {TOKEN}."
    for _ in range(2):
        path = f"{address}/SOUL.md"
        assert (await alice.post(path, data=typed(text))).status_code == 303
    assert files["SOUL.md"] == text
    path = f"/agents/{world.lead.id}/files/SOUL.md"
    assert (await alice.post(path, data=typed(text, ""))).status_code == 303
    shown = shown_text(await alice.get(f"{path}/edit"))
    assert TOKEN not in shown
    assert (await alice.post(path, data=typed(f"{shown} Twice.", text))).status_code == 303
    async with transaction() as session:
        assert (await session.get_one(Agent, world.lead.id)).soul_template == f"{text} Twice."
        contents = await session.scalars(select(AgentFileVersion.content))
        assert TOKEN not in str(contents.all())


async def test_a_version_is_shown_and_restored_as_a_new_one(
    alice: httpx2.AsyncClient, address: str, files: dict[str, str], transaction: TransactionFactory
) -> None:
    path = f"{address}/SOUL.md"
    assert "No versions yet." in (await alice.get(f"{path}/history")).text
    await alice.post(path, data=typed("New.\n"))
    history = (await alice.get(f"{path}/history")).text
    new, old = re.findall(rf'href="({path}/history/([\w-]+))"', history)
    assert '<ins dir="auto">New.</ins>' in (await alice.get(new[0])).text
    assert "First stored version" in (await alice.get(old[0])).text
    review = await alice.post(f"{path}/reviews", data={"restored": old[1]})
    assert '<ins dir="auto">One.</ins>' in review.text
    assert shown_text_of_review(review) == [SOUL, SOUL]
    assert files["SOUL.md"] == "New.\n"
    assert (await alice.post(path, data=typed(SOUL, "New.\n"))).status_code == 303
    assert files["SOUL.md"] == SOUL
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.USER, FileAuthor.GATEWAY]


async def test_the_soul_of_an_agent_without_a_gateway_is_stored_here(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    at = f"/agents/{world.lead.id}"
    page = (await alice.get(f"{at}/soul")).text
    assert "There is no text yet." in page
    assert 'href="/souls"' in page
    assert f'href="{at}/files/SOUL.md/edit"' in page
    assert "is on no gateway" in (await alice.get(f"{at}/files")).text
    path = f"{at}/files/SOUL.md"
    assert (await alice.post(path, data=typed("Be kind.", ""))).status_code == 303
    assert (await alice.post(path, data=typed("Be brief.", ""))).status_code == 409
    assert (await alice.post(path, data=typed("Be brief.", "Be kind."))).status_code == 303
    async with transaction() as session:
        assert (await session.get_one(Agent, world.lead.id)).soul_template == "Be brief."
    assert await authors(transaction) == [FileAuthor.USER, FileAuthor.USER]
    assert (await alice.get(f"{at}/files/USER.md")).status_code == 404
    assert (await alice.post(f"{at}/files/USER.md", data=typed("x"))).status_code == 404


async def test_every_change_of_a_soul_without_a_gateway_becomes_a_version(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        changes = {"soul_template": "Be kind."}
        await agents.update_agent(
            session, world.alice_member, world.worker.id, agents.AgentUpdate.parse(changes)
        )
    async with transaction() as session:
        board = await boards.lock_board(session, world.lead, world.board.id)
        soul = SoulUpdate(content="Be brief.")
        await agents.write_soul(session, world.lead, board, world.worker.id, soul)
    assert await authors(transaction) == [FileAuthor.AGENT, FileAuthor.USER]
    path = f"/agents/{world.worker.id}/files/SOUL.md/history"
    history = (await alice.get(path)).text
    assert history.index("A lead</span>") < history.rindex("Alice</span>")
    async with transaction() as session:
        changes = {"soul_template": "Be quick.", "name": "Quick"}
        await agents.update_agent(
            session, world.alice_member, world.worker.id, agents.AgentUpdate.parse(changes)
        )
    authors_now = [FileAuthor.USER, FileAuthor.AGENT, FileAuthor.USER]
    assert await authors(transaction) == authors_now


async def test_a_former_member_stays_the_author_without_a_name(
    alice: httpx2.AsyncClient, address: str, world: World, transaction: TransactionFactory
) -> None:
    kept = FileContent("SOUL.md", "Old.", FileAuthor.USER)
    async with transaction() as session:
        await agents.record_file_versions(session, world.worker.id, [kept])
        await agents.record_file_versions(
            session, world.worker.id, [replace(kept, content="Newer.", author=FileAuthor.SYNC)]
        )
    history = (await alice.get(f"{address}/SOUL.md/history")).text
    assert history.index("Mission Control</span>") < history.index("A former member")
