"""Who may still change skills after a download, and how much an organization stores."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import Conflict, Forbidden, NotFound
from models import Member, Role, Skill, SkillPack, SkillPackUpdate
from services import skills
from services.skills import SkillCreate, SkillPackCreate, SkillPackUpload, commands
from tests.support.skill_archives import FILES, REPOSITORY, ArchiveHost, make_zip
from tests.support.world import World

URL = "https://skills.example/"
UPLOAD = SkillPackUpload(pack_name="Ours")


@pytest.fixture
def host() -> ArchiveHost:
    host = ArchiveHost()
    host.put(FILES)
    return host


@pytest.fixture
async def pack(transaction: TransactionFactory, world: World) -> SkillPack:
    async with transaction() as session:
        draft = SkillPackCreate(source_url=REPOSITORY)
        return await skills.save_pack(session, world.alice_member, draft)


async def count_rows(transaction: TransactionFactory, model: Any) -> int:
    async with transaction() as session:
        return len(list(await session.scalars(select(model.id))))


class LateChange:
    """Opens transactions, and executes a statement before one of them."""

    def __init__(self, transaction: TransactionFactory, statement: Any, before: int = 2) -> None:
        self._transaction, self._statement, self._left = transaction, statement, before

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[AsyncSession]:
        self._left -= 1
        if not self._left:
            async with self._transaction() as session:
                await session.execute(self._statement)
        async with self._transaction() as session:
            yield session


@pytest.mark.parametrize(
    ("statement", "error"),
    [(update(Member).values(role=Role.MEMBER), Forbidden), (delete(Member), NotFound)],
)
async def test_who_is_no_admin_any_more_changes_no_skills(
    transaction: TransactionFactory,
    world: World,
    host: ArchiveHost,
    pack: SkillPack,
    statement: Any,
    error: type[Exception],
) -> None:
    """Rights can change during a download, and while an archive is read."""
    member = world.alice_member
    change = statement.where(Member.id == member.id)
    await skills.fetch_update(transaction, host, member, pack.id)
    async with transaction() as session:
        waiting = (await session.scalars(select(SkillPackUpdate))).one()
    with pytest.raises(error):
        await skills.sync_pack(LateChange(transaction, change), host, member, pack.id)
    late = LateChange(transaction, change, before=1)
    with pytest.raises(error):
        await skills.upload_pack(late, member, UPLOAD, make_zip(FILES))
    with pytest.raises(error):
        await skills.fetch_update(LateChange(transaction, change), host, member, pack.id)
    late = LateChange(transaction, change)
    with pytest.raises(error):
        await skills.accept_update(late, member, pack.id, waiting.archive_digest)
    assert await count_rows(transaction, Skill) == 0
    assert await count_rows(transaction, SkillPackUpdate) == 1
    assert await count_rows(transaction, SkillPack) == 1


async def test_the_number_of_skills_is_limited(
    transaction: TransactionFactory,
    world: World,
    host: ArchiveHost,
    pack: SkillPack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "MAX_STORED_SKILLS", 2)
    async with transaction() as session:
        first = await skills.save_skill(
            session, world.alice_member, SkillCreate(source_url=f"{URL}1")
        )
    with pytest.raises(Conflict) as refused:
        await skills.sync_pack(transaction, host, world.alice_member, pack.id)
    assert refused.value.code == "too_many_skills"
    assert "Delete skills" in refused.value.message
    assert await count_rows(transaction, Skill) == 1
    async with transaction() as session:
        await skills.save_skill(session, world.alice_member, SkillCreate(source_url=f"{URL}2"))
    with pytest.raises(Conflict):
        async with transaction() as session:
            await skills.save_skill(session, world.alice_member, SkillCreate(source_url=f"{URL}3"))
    async with transaction() as session:  # an existing one can be changed, and deleted
        await skills.save_skill(
            session, world.alice_member, SkillCreate(source_url=f"{URL}2", name="Second")
        )
        await skills.delete_skill(session, world.alice_member, first.id)
        await skills.save_skill(session, world.alice_member, SkillCreate(source_url=f"{URL}3"))


async def test_the_size_of_all_files_is_limited(
    transaction: TransactionFactory,
    world: World,
    host: ArchiveHost,
    pack: SkillPack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "MEGABYTE", 4)  # 1,024 bytes together
    await skills.sync_pack(transaction, host, world.alice_member, pack.id)
    assert await count_rows(transaction, Skill) == 2
    text = " ".join(str(number * 7_919) for number in range(400))
    data = make_zip({"large/SKILL.md": f"# Large\n{text}"})
    upload = await skills.upload_pack(transaction, world.alice_member, UPLOAD, data)
    async with transaction() as session:
        [waiting] = await session.scalars(select(SkillPackUpdate))
    accept = (transaction, world.alice_member, upload.id, waiting.archive_digest)
    with pytest.raises(Conflict) as refused:
        await skills.accept_update(*accept)
    assert refused.value.code == "skill_files_too_large"
    assert await count_rows(transaction, Skill) == 2
    monkeypatch.undo()
    assert (await skills.accept_update(*accept)).created == 1


async def test_the_number_of_packs_is_limited(
    transaction: TransactionFactory,
    world: World,
    pack: SkillPack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "MAX_PACKS", 1)
    async with transaction() as session:  # the present one can be changed
        await skills.save_pack(session, world.alice_member, SkillPackCreate(source_url=REPOSITORY))
    draft = SkillPackCreate(source_url=f"{REPOSITORY}-2")
    with pytest.raises(Conflict) as refused:
        async with transaction() as session:
            await skills.save_pack(session, world.alice_member, draft)
    assert refused.value.code == "too_many_skill_packs"
    with pytest.raises(Conflict):
        await skills.upload_pack(transaction, world.alice_member, UPLOAD, make_zip(FILES))
    assert await count_rows(transaction, SkillPack) == 1
