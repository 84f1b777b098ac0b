"""Forms of skills and packs: limits of addresses, and edits at the same time."""

import re

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from core.errors import Invalid
from models import Skill, SkillPack, SkillPackUpdate
from services.skills.sources import MAX_SKILL_ADDRESS_SIZE, check_skill_url
from tests.support.skill_archives import REPOSITORY, make_zip
from tests.support.skill_rows import make_pack
from tests.support.world import World

START = "https://skills.example/"
SIGNS = "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(1_200))
FITTING = START + SIGNS[: (MAX_SKILL_ADDRESS_SIZE - len(START)) // 3]


async def test_the_address_of_a_skill_fits_into_an_index(
    alice: httpx2.AsyncClient, transaction: TransactionFactory
) -> None:
    """The index limits its bytes; mixed characters cannot be compressed."""
    answer = await alice.post("/skills", data={"source_url": START + SIGNS})
    assert answer.status_code == 422
    assert "The address is too long: 3,623 bytes, 2,000 at most." in answer.text
    assert (await alice.post("/skills", data={"source_url": FITTING})).status_code == 303
    async with transaction() as session:
        assert list(await session.scalars(select(Skill.source_url))) == [FITTING]
    with pytest.raises(Invalid):
        check_skill_url(f"{FITTING}xxx")


@pytest.fixture
async def pack(transaction: TransactionFactory, world: World) -> SkillPack:
    pack = make_pack(world.tern, extra={"a": 1})
    async with transaction() as session:
        session.add(pack)
    return pack


async def read_fields(client: httpx2.AsyncClient, path: str) -> dict[str, str]:
    """Return the hashes of the values that a page shows."""
    page = (await client.get(path)).text
    return dict(re.findall(r'name="(shown\.\w+)" value="(\w+)"', page))


async def load_pack(transaction: TransactionFactory, pack: SkillPack) -> SkillPack:
    async with transaction() as session:
        return await session.get_one(SkillPack, pack.id)


async def test_an_edit_of_a_pack_keeps_what_others_have_changed(
    alice: httpx2.AsyncClient, transaction: TransactionFactory, pack: SkillPack
) -> None:
    path = f"/skills/packs/{pack.id}"
    shown = await read_fields(alice, path)
    assert len(shown) == 4
    old = {"source_url": REPOSITORY, "branch": "main", "name": pack.name}
    old |= {"description": str(pack.description)}
    first = await alice.post(f"{path}/changes", data={**old, **shown, "branch": "v2"})
    assert first.status_code == 303
    second = await alice.post(f"{path}/changes", data={**old, **shown, "name": "Ours"})
    assert second.status_code == 303
    found = await load_pack(transaction, pack)
    assert (found.branch, found.name, found.extra) == ("v2", "Ours", {"a": 1})


async def test_two_edits_of_a_field_of_a_pack_are_a_conflict(
    alice: httpx2.AsyncClient, transaction: TransactionFactory, pack: SkillPack
) -> None:
    path = f"/skills/packs/{pack.id}"
    shown = await read_fields(alice, path)
    old = {"source_url": REPOSITORY, "branch": "main", "name": pack.name}
    old |= {"description": str(pack.description)}
    sent = {**old, **shown, "description": "Mine\nand more"}
    assert (await alice.post(f"{path}/changes", data=sent)).status_code == 303
    late = await alice.post(f"{path}/changes", data={**old, **shown, "description": "Theirs"})
    assert late.status_code == 409
    assert "Mine" in late.text
    assert "Theirs" in late.text
    assert f"/skills/packs/{pack.id}#edit" in late.text
    assert (await load_pack(transaction, pack)).description == "Mine\nand more"


async def test_an_uploaded_pack_keeps_its_address_in_an_edit(
    alice: httpx2.AsyncClient, transaction: TransactionFactory
) -> None:
    archive = {"archive": ("pack.zip", make_zip({"a/SKILL.md": "# A"}))}
    sent = await alice.post("/skills/packs/uploads", data={"pack_name": "Ours"}, files=archive)
    path = sent.headers["Location"]
    shown = await read_fields(alice, path)
    assert set(shown) == {"shown.name", "shown.description"}
    data = {**shown, "source_url": "upload:ours", "name": "Theirs", "description": ""}
    assert (await alice.post(f"{path}/changes", data=data)).status_code == 303
    async with transaction() as session:
        found = (await session.scalars(select(SkillPack))).one()
        assert (found.source_url, found.name) == ("upload:ours", "Theirs")
        assert (await session.scalars(select(SkillPackUpdate))).one()


async def upload(client: httpx2.AsyncClient, name: str, text: str = "# A\n") -> str:
    """Upload an archive with one skill; return the address of its pack."""
    archive = {"archive": ("pack.zip", make_zip({"a/SKILL.md": text}))}
    sent = await client.post("/skills/packs/uploads", data={"pack_name": name}, files=archive)
    assert sent.status_code == 303, sent.text
    return sent.headers["Location"]


async def accept(client: httpx2.AsyncClient, path: str) -> None:
    page = (await client.get(path)).text
    shown = page.partition('name="shown" value="')[2].partition('"')[0]
    assert (await client.post(f"{path}/acceptances", data={"shown": shown})).status_code == 303


async def test_an_upload_finds_a_pack_with_an_older_address_by_its_name(
    alice: httpx2.AsyncClient, transaction: TransactionFactory, world: World
) -> None:
    """Earlier versions have stored such a name with an address without its special characters."""
    name = "Reports (\u00e4)"
    pack = make_pack(world.tern, name=name, source_url="upload:reports")
    async with transaction() as session:
        session.add(pack)
    path = await upload(alice, name)
    assert path == f"/skills/packs/{pack.id}"
    await accept(alice, path)
    assert await upload(alice, "REPORTS_(\u00c4)", "# A\n\nChanged.\n") == path
    page = (await alice.get(path)).text
    assert "Changed" in page
    assert "Removed" not in page
    await accept(alice, path)
    async with transaction() as session:
        assert len(list(await session.scalars(select(SkillPack)))) == 1
        skill = (await session.scalars(select(Skill))).one()
    assert skill.source_url == "upload:reports#"


async def test_a_renamed_pack_gets_the_uploads_of_its_new_name(
    alice: httpx2.AsyncClient, transaction: TransactionFactory
) -> None:
    path = await upload(alice, "Ours")
    await accept(alice, path)
    shown = await read_fields(alice, path)
    data = {**shown, "source_url": "upload:ours", "name": "Theirs", "description": ""}
    assert (await alice.post(f"{path}/changes", data=data)).status_code == 303
    assert await upload(alice, "theirs", "# A\n\nChanged.\n") == path
    other = await upload(alice, "Ours")
    assert other != path
    assert await upload(alice, "Ours") == other
    async with transaction() as session:
        addresses = set(await session.scalars(select(SkillPack.source_url)))
    assert addresses == {"upload:ours", "upload:ours-2"}
