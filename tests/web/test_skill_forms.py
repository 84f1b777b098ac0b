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
    assert "The address is too long." in answer.text
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
