"""Races about skills: requests and additions during deletions."""

import asyncio

import pytest

from core.db.engine import TransactionFactory
from core.errors import AppError
from models import Gateway, Skill, SkillPack
from services import gateways, organizations, skills
from services.skills import SkillCreate
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.skill_rows import make_pack, make_skill, make_version
from tests.support.world import World


@pytest.fixture
async def pack(isolated_transaction: TransactionFactory, isolated_world: World) -> SkillPack:
    pack = make_pack(isolated_world.tern)
    async with isolated_transaction() as session:
        session.add(pack)
    return pack


@pytest.fixture
async def skill(
    isolated_transaction: TransactionFactory, isolated_world: World, pack: SkillPack
) -> Skill:
    skill = make_skill(isolated_world.tern, pack)
    async with isolated_transaction() as session:
        session.add(skill)
        await session.flush()
        session.add(make_version(skill))
    return skill


@pytest.fixture
async def gateway(isolated_transaction: TransactionFactory, isolated_world: World) -> Gateway:
    gateway = make_gateway(isolated_world.tern)
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(make_main_agent(gateway))
    return gateway


async def request_install(
    transaction: TransactionFactory, world: World, gateway: Gateway, skill: Skill
) -> None:
    async with transaction() as session:
        found = await gateways.get_gateway(session, world.alice_member, gateway.id)
        await skills.request_install(
            session, world.alice_member, found, skill.id, base_url="http://mission.example"
        )


async def test_a_skill_is_not_requested_on_a_gateway_during_its_deletion(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway, skill: Skill
) -> None:
    async with isolated_transaction() as session:
        await gateways.delete_gateway(session, isolated_world.alice_member, gateway.id)
        racing = asyncio.create_task(
            request_install(isolated_transaction, isolated_world, gateway, skill)
        )
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(AppError) as refused:
        await racing
    assert refused.value.code == "gateway_not_found"


async def test_a_gateway_is_deleted_after_a_request_about_it(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway, skill: Skill
) -> None:
    async def delete_gateway() -> None:
        async with isolated_transaction() as session:
            await gateways.delete_gateway(session, isolated_world.alice_member, gateway.id)

    async with isolated_transaction() as session:
        found = await gateways.get_gateway(session, isolated_world.alice_member, gateway.id)
        await skills.request_install(
            session, isolated_world.alice_member, found, skill.id, base_url="http://x.example"
        )
        racing = asyncio.create_task(delete_gateway())
        await wait_for_lock_waiter(isolated_transaction)
    await racing
    async with isolated_transaction() as session:
        assert await session.get(Gateway, gateway.id) is None


async def test_a_skill_is_not_added_to_a_pack_during_its_deletion(
    isolated_transaction: TransactionFactory, isolated_world: World, pack: SkillPack
) -> None:
    fields = SkillCreate(source_url=f"{pack.source_url}/tree/main/other")

    async def add_skill() -> Skill:
        async with isolated_transaction() as session:
            return await skills.save_skill(session, isolated_world.alice_member, fields)

    async with isolated_transaction() as session:
        await skills.delete_pack(session, isolated_world.alice_member, pack.id)
        racing = asyncio.create_task(add_skill())
        await wait_for_lock_waiter(isolated_transaction)
    assert (await racing).pack_id is None


async def test_skills_are_deleted_after_an_update_of_their_pack(
    isolated_transaction: TransactionFactory, isolated_world: World, skill: Skill
) -> None:
    async def delete_skills() -> int:
        async with isolated_transaction() as session:
            return await skills.delete_skills(session, isolated_world.alice_member, [skill.id])

    async with isolated_transaction() as session:
        await organizations.lock_organization(session, isolated_world.alice_member)  # as an update
        racing = asyncio.create_task(delete_skills())
        await wait_for_lock_waiter(isolated_transaction)
        (await session.get_one(Skill, skill.id)).revision = "f" * 40
    assert await racing == 1
