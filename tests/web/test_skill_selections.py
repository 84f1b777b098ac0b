"""Several skills or packs at once: deletion after a confirmation, and fetching all packs."""

import re
from collections.abc import Collection
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Event, EventType, Skill, SkillPack, SkillPackUpdate, new_id
from tests.support.skill_archives import FILES, REPOSITORY, ArchiveHost
from tests.support.skill_rows import make_pack, make_skill
from tests.support.world import World

HTMX = {"HX-Request": "true"}
UPLOADED = "upload:ours"
GONE = "https://packs.example/gone.zip"


@pytest.fixture
async def packs(world: World, transaction: TransactionFactory) -> list[SkillPack]:
    """Three packs, of which the last two cannot be fetched; and one of another organization."""
    urls = {"Good": REPOSITORY, "Gone <i>": GONE, "Uploaded": UPLOADED}
    made = [make_pack(world.tern, name=name, source_url=url) for name, url in urls.items()]
    async with transaction() as session:
        session.add_all([*made, make_pack(world.plover, name="Foreign")])
    return made


@pytest.fixture
async def skills(
    world: World, packs: list[SkillPack], transaction: TransactionFactory
) -> list[Skill]:
    names = ("Write <b>", "Read", "Count")
    made = [make_skill(world.tern, packs[0], name=name, source_url=f"x:{name}") for name in names]
    async with transaction() as session:
        session.add_all(made)
    return made


async def list_names(transaction: TransactionFactory, model: Any) -> set[str]:
    async with transaction() as session:
        return set(await session.scalars(select(model.name)))


async def post(
    client: httpx2.AsyncClient, path: str, rows: Collection[Any], **fields: str
) -> httpx2.Response:
    return await client.post(path, data={"ids": [str(row.id) for row in rows], **fields})


async def test_selected_skills_are_named_and_then_deleted(
    alice, skills: list[Skill], transaction: TransactionFactory
) -> None:
    page = (await alice.get("/skills")).text
    assert page.count('form="delete-selected"') == 3
    chosen = skills[:2]
    asked = await post(alice, "/skills/deletions", chosen)
    assert asked.status_code == 200
    for text in ("Delete 2 skills?", "Write &lt;b&gt;", "Read"):
        assert text in asked.text
    assert "Count" not in asked.text
    assert set(re.findall(r'name="ids" value="([^"]+)"', asked.text)) == {
        str(one.id) for one in chosen
    }
    assert len(await list_names(transaction, Skill)) == 3
    done = await post(alice, "/skills/deletions", chosen, confirmed="on")
    assert done.headers["Location"] == "/skills?deleted=2"
    assert "2 skills deleted." in (await alice.get(done.headers["Location"])).text
    assert await list_names(transaction, Skill) == {"Count"}
    async with transaction() as session:
        types = list(await session.scalars(select(Event.type)))
    assert types.count(EventType.SKILL_DELETED) == 2
    again = await post(alice, "/skills/deletions", chosen, confirmed="on")
    page = (await alice.get(again.headers["Location"])).text
    assert '<div class="note">' in page
    assert "None of the selected skills exists any more." in page
    none = await post(alice, "/skills/deletions", [], confirmed="on")
    page = (await alice.get(none.headers["Location"])).text
    assert "Nothing was deleted: no skill was selected." in page


async def test_selected_packs_are_named_and_then_deleted(
    alice, packs: list[SkillPack], skills: list[Skill], transaction: TransactionFactory
) -> None:
    assert (await alice.get("/skills/packs")).text.count('form="delete-selected"') == 3
    asked = await post(alice, "/skills/packs/deletions", packs[:2])
    for text in ("Delete 2 packs?", "Good", "Gone &lt;i&gt;", "Its skills stay."):
        assert text in asked.text
    done = await post(alice, "/skills/packs/deletions", packs[:2], confirmed="on")
    assert "2 packs deleted." in (await alice.get(done.headers["Location"])).text
    assert await list_names(transaction, SkillPack) == {"Uploaded", "Foreign"}
    assert len(await list_names(transaction, Skill)) == 3
    again = await post(alice, "/skills/packs/deletions", packs[:2])
    page = (await alice.get(again.headers["Location"])).text
    assert "None of the selected packs exists any more." in page
    nothing = await alice.post("/skills/packs/deletions")
    assert nothing.headers["Location"] == "/skills/packs?deleted=0"
    page = (await alice.get(nothing.headers["Location"])).text
    assert "Nothing was deleted: no pack was selected." in page


@pytest.mark.parametrize("path", ["/skills/deletions", "/skills/packs/deletions"])
async def test_an_invalid_selection_deletes_nothing(
    alice, skills: list[Skill], transaction: TransactionFactory, path: str
) -> None:
    many = [str(new_id()) for _ in range(201)]
    for ids in (["x"], many):
        for confirmed in ({}, {"confirmed": "on"}):
            answer = await alice.post(path, data={"ids": ids, **confirmed})
            assert answer.status_code == 422
    assert len(await list_names(transaction, Skill)) == 3


async def test_only_admins_of_the_organization_change_selections(
    bob, charlie, packs: list[SkillPack], skills: list[Skill], transaction: TransactionFactory
) -> None:
    for path, rows in (("/skills/deletions", skills), ("/skills/packs/deletions", packs)):
        for confirmed in ({}, {"confirmed": "on"}):
            assert (await post(bob, path, rows, **confirmed)).status_code == 403
            assert (
                (await post(charlie, path, rows, **confirmed))
                .headers["Location"]
                .endswith("?deleted=already")
            )
    assert (await bob.post("/skills/packs/fetches")).status_code == 403
    assert "Good" not in (await charlie.post("/skills/packs/fetches")).text
    assert len(await list_names(transaction, Skill)) == 3
    assert len(await list_names(transaction, SkillPack)) == 4


async def test_all_packs_are_fetched_one_after_another(
    alice, packs: list[SkillPack], archive_host: ArchiveHost, transaction: TransactionFactory
) -> None:
    archive_host.put(FILES)
    good, gone, uploaded = packs
    page = (await alice.post("/skills/packs/fetches")).text
    forms = re.findall(r'hx-post="([^"]+)" hx-trigger="load" hx-sync="([^"]+)"', page)
    assert {path for path, _ in forms} == {
        f"/skills/packs/{pack.id}/fetches" for pack in (good, gone)
    }
    assert {sync for _, sync in forms} == {"#pack-fetches:queue all"}
    assert archive_host.requested == []
    assert str(uploaded.id) not in page
    found = await alice.post(f"/skills/packs/{good.id}/fetches", headers=HTMX)
    assert f'href="/skills/packs/{good.id}#update"' in found.text
    assert "Update to review" in found.text
    failed = await alice.post(f"/skills/packs/{gone.id}/fetches", headers=HTMX)
    assert failed.status_code == 200
    assert "Failed" in failed.text
    assert "<html" not in failed.text
    deleted = await alice.post(f"/skills/packs/{new_id()}/fetches", headers=HTMX)
    assert deleted.status_code == 200
    assert "There is no such skill pack." in deleted.text
    assert "<html" not in deleted.text
    assert (await alice.post(f"/skills/packs/{new_id()}/fetches")).status_code == 404
    async with transaction() as session:
        assert list(await session.scalars(select(SkillPackUpdate.pack_id))) == [good.id]
        assert list(await session.scalars(select(Skill))) == []


async def test_a_pack_is_fetched_on_its_page(
    alice, packs: list[SkillPack], archive_host: ArchiveHost
) -> None:
    archive_host.put(FILES)
    path = f"/skills/packs/{packs[0].id}"
    assert f'action="{path}/fetches"' in (await alice.get(path)).text
    fetched = await alice.post(f"{path}/fetches")
    assert fetched.headers["Location"] == f"{path}#update"
    page = (await alice.get(path)).text
    assert "Update to review" in page
    digest = page.partition('name="shown" value="')[2].partition('"')[0]
    await alice.post(f"{path}/acceptances", data={"shown": digest})
    again = await alice.post(f"{path}/fetches")
    assert again.headers["Location"] == f"{path}?unchanged=1"
    assert "The pack has not changed." in (await alice.get(again.headers["Location"])).text
    part = await alice.post(f"{path}/fetches", headers=HTMX)
    assert "Not changed" in part.text
