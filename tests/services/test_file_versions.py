"""Editing agents' files on a gateway: version check, tokens, and the recorded versions."""

import pytest
from sqlalchemy import text

from models import Agent, FileAuthor, Member
from openclaw import GatewayError
from services import agents
from services.agents import FileContent, FileVersion, FileVersionDetail
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile, WriteResult
from tests.support.fake_agents_gateway import LostAfter
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)
from tests.support.statement_counter import count_statements

__all__ = ["harness"]


async def read(harness: ProvisioningHarness, agent: Agent, name: str = "SOUL.md") -> AgentFile:
    return await agent_files.read_file(harness.client, agent, name)


async def list_versions(
    harness: ProvisioningHarness, agent: Agent, name: str = "SOUL.md"
) -> list[FileVersion]:
    async with harness.transaction() as session:
        return list(await agents.list_file_versions(session, agent, name))


async def list_contents(
    harness: ProvisioningHarness, agent: Agent, name: str = "SOUL.md"
) -> list[str]:
    """Return the contents of the versions, newest first."""
    versions = await list_versions(harness, agent, name)
    async with harness.transaction() as session:
        return [
            (await agents.get_file_version(session, agent, name, one.id)).content
            for one in versions
        ]


def get_member(harness: ProvisioningHarness) -> Member:
    """Return the membership of Alice, the owner."""
    return harness.world.alice_member


def authors(versions: list[FileVersion]) -> list[FileAuthor]:
    return [one.author for one in versions]


async def save(
    harness: ProvisioningHarness, agent: Agent, content: str, base: AgentFile
) -> WriteResult:
    """Write a file as Alice, and record it."""

    async def record(found: AgentFile) -> None:
        async with harness.transaction() as session:
            await agent_files.record_replaced_file(session, get_member(harness), agent.id, found)

    result = await agent_files.write_file(
        harness.client, agent, base.name, content, version=base.version, record_replaced=record
    )
    if result.is_written:
        async with harness.transaction() as session:
            await agent_files.record_saved_file(
                session, get_member(harness), agent.id, result.found, content
            )
    return result


async def test_a_sync_records_versions_and_what_it_overwrites(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    first = harness.files_of(agent)["SOUL.md"]
    assert authors(await list_versions(harness, agent)) == [FileAuthor.SYNC]
    assert await list_versions(harness, agent, "AGENTS.md") == []
    harness.files_of(agent)["SOUL.md"] = "I have found myself.\n"
    async with harness.transaction() as session:
        changes = {"soul_template": "Be kind."}
        await agents.update_agent(
            session, get_member(harness), agent.id, agents.AgentUpdate.parse(changes)
        )
    await harness.reconcile_until_idle()
    versions = await list_versions(harness, agent)
    assert authors(versions) == [FileAuthor.SYNC, FileAuthor.GATEWAY, FileAuthor.SYNC]
    newest, *earlier = await list_contents(harness, agent)
    assert earlier == ["I have found myself.\n", first]
    assert "Be kind." in newest


async def test_a_save_keeps_what_it_replaces_and_is_kept_by_a_sync(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.files_of(agent)["SOUL.md"] = "Mine.\n"
    base = await read(harness, agent)
    assert (await save(harness, agent, "Hers.\n", base)).is_written
    assert harness.files_of(agent)["SOUL.md"] == "Hers.\n"
    versions = await list_versions(harness, agent)
    assert authors(versions) == [FileAuthor.USER, FileAuthor.GATEWAY, FileAuthor.SYNC]
    assert versions[0].user_name == harness.world.alice.name
    async with harness.transaction() as session:
        detail = await agents.get_file_version(session, agent, "SOUL.md", versions[0].id)
    assert detail == FileVersionDetail(versions[0], "Hers.\n", "Mine.\n")
    await harness.update_board(objective="Grow tomatoes")
    await harness.reconcile_until_idle()
    assert harness.files_of(agent)["SOUL.md"] == "Hers.\n"


async def test_a_file_that_has_changed_is_not_overwritten(harness: ProvisioningHarness) -> None:
    agent = await harness.create_online_agent()
    base = await read(harness, agent)
    harness.files_of(agent)["SOUL.md"] = "Mine.\n"
    result = await save(harness, agent, "Hers.\n", base)
    assert not result.is_written
    assert result.found.content == "Mine.\n"
    assert harness.files_of(agent)["SOUL.md"] == "Mine.\n"
    assert authors(await list_versions(harness, agent)) == [FileAuthor.SYNC]


async def test_a_change_between_reading_and_writing_is_a_conflict(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    base = await read(harness, agent)

    def interfere(method: str, _params: object) -> None:
        if method == "agents.files.set":
            harness.files_of(agent)["SOUL.md"] = "Mine.\n"

    harness.fake.fault = interfere
    result = await save(harness, agent, "Hers.\n", base)
    assert not result.is_written
    assert result.found.content == harness.files_of(agent)["SOUL.md"] == "Mine.\n"


async def test_a_write_whose_response_is_lost_can_be_repeated(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    base = await read(harness, agent)
    harness.fake.fault = lambda method, _: LostAfter() if method == "agents.files.set" else None
    with pytest.raises(GatewayError):
        await save(harness, agent, "Hers.\n", base)
    harness.fake.fault = lambda _method, _params: None
    assert (await save(harness, agent, "Hers.\n", base)).is_written
    assert authors(await list_versions(harness, agent)) == [FileAuthor.USER, FileAuthor.SYNC]


async def test_the_part_with_the_token_is_neither_shown_nor_edited(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    token, whole = harness.token_of(agent), harness.files_of(agent)["AGENTS.md"]
    harness.files_of(agent)["AGENTS.md"] += f"\nThe token is {token}.\n"
    base = await read(harness, agent, "AGENTS.md")
    assert token not in f"{base} {base.managed} {base.content}"
    assert base.managed.count("mc_agent_…") == 1
    assert base.content.startswith("The token is mc_agent_… (")
    assert (await save(harness, agent, base.content + "Second line.\n", base)).is_written
    expected = f"{whole}\nThe token is {token}.\nSecond line.\n"
    assert harness.files_of(agent)["AGENTS.md"] == expected
    assert token not in str(await list_contents(harness, agent))


async def test_a_token_in_a_version_by_a_sync_can_be_restored(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    found = "Mine: mc_agent_Secret-1\nAUTH_TOKEN=other\n"
    harness.files_of(agent)["SOUL.md"] = found
    before = await read(harness, agent)
    async with harness.transaction() as session:
        changes = {"soul_template": "Call with mc_agent_Secret-2."}
        await agents.update_agent(
            session, get_member(harness), agent.id, agents.AgentUpdate.parse(changes)
        )
    await harness.reconcile_until_idle()
    after = await read(harness, agent)
    newest, replaced, *_ = await list_contents(harness, agent)
    assert (newest, replaced) == (after.content, before.content)
    assert "Secret" not in newest + replaced
    assert before.replace_content(replaced) == found
    latest, *_ = await list_versions(harness, agent)
    author, at, _ = agent_files.find_file_origin(agent, after, latest)
    assert (author, at) == (FileAuthor.SYNC, latest.created_at)


async def test_a_new_token_is_no_conflict_with_an_edit_below_it(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    base = await read(harness, agent, "AGENTS.md")
    await harness.update_board(objective="Grow tomatoes")
    await harness.reconcile_until_idle()
    assert (await save(harness, agent, "Use the blue door.\n", base)).is_written
    assert "Grow tomatoes" in harness.files_of(agent)["AGENTS.md"]
    assert harness.files_of(agent)["AGENTS.md"].endswith("\nUse the blue door.\n")


async def test_only_the_newest_fifty_versions_are_stored(harness: ProvisioningHarness) -> None:
    agent = await harness.create_agent()
    contents = [FileContent("USER.md", f"{n}", FileAuthor.GATEWAY) for n in range(53)]
    too_long = FileContent("USER.md", "x" * 100_001, FileAuthor.GATEWAY)
    async with harness.transaction() as session:
        await agents.record_file_versions(session, agent.id, [*contents, too_long])
    versions = await list_versions(harness, agent, "USER.md")
    assert [one.length for one in versions] == [2] * 43 + [1] * 7
    assert await list_contents(harness, agent, "USER.md") == [f"{n}" for n in range(52, 2, -1)]


async def test_a_history_is_listed_without_contents(harness: ProvisioningHarness) -> None:
    agent = await harness.create_agent()
    kept = [FileContent("USER.md", f"Marked {n}", FileAuthor.GATEWAY) for n in range(3)]
    async with harness.transaction() as session:
        await agents.record_file_versions(session, agent.id, kept)
        connection = await session.connection()
        with count_statements(connection) as statements:
            listed = await agents.list_file_versions(session, agent, "USER.md")
            latest = await agents.load_latest_versions(session, agent)
    assert latest["USER.md"] == listed[0]
    assert len(statements) == 2
    assert all(sent.count("content") == sent.count("length(") for sent in statements)


async def test_the_versions_by_a_deleted_user_are_found_with_an_index(session) -> None:
    for table in ("agent_file_versions", "task_descriptions"):
        query = text("select indexname from pg_indexes where tablename = :table")
        names = (await session.scalars(query, {"table": table})).all()
        assert f"ix_{table}_user_id" in names
