"""Gateways say which skills they have, and that decides the state of an installation."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Event, EventType, Gateway, GatewaySkill, MessageState, Skill, SkillAction
from openclaw import GatewayClient
from openclaw.api import ListedSkill, parse_skill
from services.skills import SkillConfirmationJob
from tests.support.fake_gateway import ErrorResponse, FakeGateway, create_target, run_fake_gateway
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.skill_rows import make_gateway_skill, make_request_message, make_skill
from tests.support.world import World

LISTED = {"name": "report-writer", "baseDir": "/home/agent/skills/writer", "bundled": False}


class Harness:
    """A skill that was requested on a fake gateway, and the job that confirms it."""

    def __init__(self, transaction: TransactionFactory, fake: FakeGateway, world: World) -> None:
        self.transaction, self.fake, self.world = transaction, fake, world
        self.skills: Any = []
        self.call_count = 0
        self.fake.handlers["skills.status"] = self.list_skills

    def list_skills(self, _params: object) -> dict[str, Any]:
        self.call_count += 1
        return {"skills": self.skills}

    async def request(self, action: SkillAction, state: MessageState, **fields: Any) -> None:
        """Store the request, with its message in a state."""
        self.gateway: Gateway = make_gateway(self.world.tern, url=self.fake.url)
        main = make_main_agent(self.gateway)[0]
        self.skill: Skill = make_skill(self.world.tern)
        async with self.transaction() as session:
            session.add(self.gateway)
            await session.flush()
            session.add_all([main, self.skill])
            await session.flush()
            message = make_request_message(main, state, **fields)
            session.add(message)
            await session.flush()
            self.row = make_gateway_skill(
                self.gateway, self.skill, action=action, message_id=message.id
            )
            session.add(self.row)

    async def check(self) -> bool:
        """Ask the gateway once."""
        job = SkillConfirmationJob(self.transaction, self.transaction, PostgresListener())
        async with GatewayClient(create_target(self.fake)) as client:
            await client.get_hello()
            return await job.check(self.gateway, client)

    async def load(self) -> GatewaySkill | None:
        async with self.transaction() as session:
            return await session.get(GatewaySkill, self.row.id)

    async def list_events(self) -> list[EventType]:
        async with self.transaction() as session:
            kinds = (
                EventType.SKILL_INSTALLED,
                EventType.SKILL_REMOVED,
                EventType.SKILL_REQUEST_FAILED,
            )
            return list(await session.scalars(select(Event.type).where(Event.type.in_(kinds))))


@pytest.fixture
async def harness(transaction: TransactionFactory, world: World) -> AsyncIterator[Harness]:
    async with run_fake_gateway(FakeGateway()) as fake:
        yield Harness(transaction, fake, world)


LONG_AGO = now() - timedelta(minutes=5)


async def test_a_listed_skill_is_installed(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED)
    harness.skills = [LISTED, "odd", {"name": 7}]
    assert await harness.check()
    row = await harness.load()
    assert row is not None
    assert (row.is_listed, row.installed_digest) == (True, row.digest)
    assert await harness.list_events() == [EventType.SKILL_INSTALLED]
    assert await harness.check()  # known for an hour
    assert harness.call_count == 1


async def test_a_bundled_skill_of_the_same_name_is_another_one(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED, acknowledged_at=LONG_AGO)
    harness.skills = [LISTED | {"bundled": True}]
    await harness.check()
    assert await harness.list_events() == [EventType.SKILL_REQUEST_FAILED]


async def test_a_skill_of_the_same_name_in_another_folder_is_another_one(
    harness: Harness,
) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED, acknowledged_at=LONG_AGO)
    harness.skills = [LISTED | {"name": harness.skill.name, "baseDir": "/skills/other"}]
    await harness.check()
    assert await harness.list_events() == [EventType.SKILL_REQUEST_FAILED]


@pytest.mark.parametrize("action", SkillAction)
async def test_a_skill_without_a_folder_is_found_by_its_name(
    harness: Harness, action: SkillAction
) -> None:
    """A removal is about the folder, which is gone then."""
    await harness.request(action, MessageState.ACKNOWLEDGED)
    harness.skills = [{"name": harness.skill.name}]
    await harness.check()
    is_install = action is SkillAction.INSTALL
    expected = EventType.SKILL_INSTALLED if is_install else EventType.SKILL_REMOVED
    assert await harness.list_events() == [expected]


async def test_a_gateway_is_not_asked_at_every_event(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED)
    job = SkillConfirmationJob(harness.transaction, harness.transaction, PostgresListener())
    async with GatewayClient(create_target(harness.fake)) as client:
        await client.get_hello()
        for _ in range(3):  # it is not listed yet, so it stays due
            assert await job.check(harness.gateway, client)
    assert harness.call_count == 1


async def test_a_gateway_is_asked_again_when_the_clock_was_set_back(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED)
    times = [now() + timedelta(minutes=1), now()]
    job = SkillConfirmationJob(
        harness.transaction,
        harness.transaction,
        PostgresListener(),
        clock=lambda: times.pop(0),
    )
    async with GatewayClient(create_target(harness.fake)) as client:
        await client.get_hello()
        for _ in range(2):
            assert await job.check(harness.gateway, client)
    assert harness.call_count == 2


async def test_a_skill_that_is_missing_has_failed_after_a_while(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.ACKNOWLEDGED)
    await harness.check()
    assert await harness.list_events() == []  # its agent may still be writing
    row = await harness.load()
    assert row is not None
    assert row.checked_at is None


async def test_a_removed_skill_is_forgotten(harness: Harness) -> None:
    await harness.request(SkillAction.REMOVE, MessageState.ACKNOWLEDGED)
    await harness.check()
    assert await harness.load() is None
    assert await harness.list_events() == [EventType.SKILL_REMOVED]


async def test_a_request_that_is_not_acknowledged_is_not_checked(harness: Harness) -> None:
    await harness.request(SkillAction.INSTALL, MessageState.SENT)
    harness.skills = [LISTED]
    assert await harness.check()
    assert harness.call_count == 0


@pytest.mark.parametrize("answer", [{}, {"skills": None}, [], "odd"])
async def test_an_answer_without_a_list_decides_nothing(harness: Harness, answer: Any) -> None:
    await harness.request(SkillAction.REMOVE, MessageState.ACKNOWLEDGED, acknowledged_at=LONG_AGO)
    harness.fake.handlers["skills.status"] = lambda _params: answer
    assert not await harness.check()
    assert await harness.load() is not None


async def test_a_gateway_without_the_method_decides_nothing(harness: Harness) -> None:
    def reject(_params: Any) -> Any:
        raise ErrorResponse("INVALID_REQUEST", "unknown method: skills.status")

    await harness.request(SkillAction.REMOVE, MessageState.ACKNOWLEDGED, acknowledged_at=LONG_AGO)
    harness.fake.handlers["skills.status"] = reject
    assert not await harness.check()
    assert await harness.list_events() == []


@pytest.mark.parametrize(
    ("folder", "last"),
    [
        ("/a/writer/", "writer"),
        ("C:\\agents\\writer", "writer"),
        ("writer", "writer"),
        ("", ""),
        ("/" * 100_000, ""),
    ],
)
def test_the_last_part_of_a_folder_is_its_name(folder: str, last: str) -> None:
    assert parse_skill({"baseDir": folder}).folder == last


def test_a_skill_of_an_unexpected_shape_is_blank() -> None:
    assert parse_skill({"name": 1, "baseDir": None, "bundled": "yes"}) == ListedSkill("", "")
