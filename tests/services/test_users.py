"""What people say about themselves."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Invalid, Unauthorized
from models import User
from services import users
from tests.world import World, a_user


async def test_somebody_changes_what_they_say_about_themselves(
    session: AsyncSession, world: World
) -> None:
    before = world.alice.updated_at
    changes = {"preferred_name": "Ali", "timezone": "Europe/Zurich", "notes": None}
    changed = await users.change_profile(session, world.alice, changes)
    assert (changed.preferred_name, changed.timezone, changed.name) == (
        "Ali",
        "Europe/Zurich",
        "Alice",
    )
    assert changed.updated_at > before
    stranger = await session.get(User, world.charlie.id)
    assert stranger is not None
    assert stranger.preferred_name is None


async def test_only_the_profile_can_be_changed_so(session: AsyncSession, world: World) -> None:
    changes = {"email": "x@y", "is_super_admin": True, "password_hash": "x", "id": world.bob.id}
    changed = await users.change_profile(session, world.alice, changes)
    assert (changed.id, changed.email) == (world.alice.id, "alice@example.com")
    assert not changed.is_super_admin
    assert changed.updated_at == world.alice.updated_at


@pytest.mark.parametrize("field", ["name", "preferred_name", "pronouns", "timezone", "notes"])
@pytest.mark.parametrize("value", ["x" * 1_000_000, "NUL \0", "half \ud800", 7, ["list"]])
async def test_what_cannot_be_kept_is_told_by_its_field(
    session: AsyncSession, world: World, field: str, value: object
) -> None:
    with pytest.raises(Invalid) as refusal:
        await users.change_profile(session, world.alice, {field: value})
    assert refusal.value.field == field


async def test_who_is_gone_changes_nothing(session: AsyncSession, world: World) -> None:
    with pytest.raises(Unauthorized):
        await users.change_profile(session, a_user("Ghost"), {"name": "Boo"})
