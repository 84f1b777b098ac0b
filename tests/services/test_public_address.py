"""The files of agents contain the stored address, whatever BASE_URL a process has."""

from services.gateways import files
from tests.support.provisioning_harness import BASE_URL, ProvisioningHarness, harness

__all__ = ["harness"]

STORED, LATER = "https://stored.example", "https://later.example"


async def test_files_contain_the_stored_address(harness: ProvisioningHarness) -> None:
    async with harness.transaction() as session:
        assert await files.store_first_address(session, STORED) == STORED
        assert await files.store_first_address(session, BASE_URL) == STORED
    writer = await harness.create_online_agent()
    written = harness.files_of(writer)
    assert STORED in written["AGENTS.md"]
    assert not [name for name, text in written.items() if BASE_URL in text]


async def test_a_changed_address_is_written_into_the_files(harness: ProvisioningHarness) -> None:
    writer = await harness.create_online_agent()
    harness.fake.files[writer.gateway_key or ""]["SOUL.md"] = "My own soul."
    async with harness.transaction() as session:
        await files.change_public_address(session, STORED)
    await harness.reconcile_until_idle()
    writer = await harness.get_agent(writer)
    assert STORED in harness.files_of(writer)["AGENTS.md"]

    async with harness.transaction() as session:
        listed = await files.list_rewritten_files(session)
        assert await files.count_agents_with_own_files(session) == 6
        await files.change_public_address(session, LATER)
        assert await files.find_public_address(session) == LATER
    [of_writer] = [one for one in listed if one.agent == "Writer"]
    assert (of_writer.organization, of_writer.gateway) == ("Tern", harness.gateway.name)
    before = dict(harness.files_of(writer))
    await harness.reconcile_until_idle()
    after = harness.files_of(writer)
    assert set(of_writer.names) == {name for name in after if after[name] != before[name]}
    assert LATER in after["AGENTS.md"]
    assert not [name for name in of_writer.names if STORED in after[name]]
    assert after["SOUL.md"] == "My own soul."
