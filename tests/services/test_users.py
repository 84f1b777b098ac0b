"""The profile of a user."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Invalid, Unauthorized
from models import User
from services import identity
from tests.support.people_rows import make_user
from tests.support.world import World


async def test_a_user_changes_their_profile(session: AsyncSession, world: World) -> None:
    before = world.alice.updated_at
    changes = {"preferred_name": "Ali", "timezone": "Europe/Zurich", "notes": None}
    changed = await identity.update_profile(
        session, world.alice, identity.UserUpdate.parse(changes)
    )
    assert (changed.preferred_name, changed.timezone, changed.name) == (
        "Ali",
        "Europe/Zurich",
        "Alice",
    )
    assert changed.updated_at > before
    stranger = await session.get(User, world.charlie.id)
    assert stranger is not None
    assert stranger.preferred_name is None


async def test_only_profile_fields_can_be_changed(session: AsyncSession, world: World) -> None:
    changes = {"email": "x@y", "is_super_admin": True, "password_hash": "x", "id": world.bob.id}
    changed = await identity.update_profile(
        session, world.alice, identity.UserUpdate.parse(changes)
    )
    assert (changed.id, changed.email) == (world.alice.id, "alice@example.com")
    assert not changed.is_super_admin
    assert changed.updated_at == world.alice.updated_at


@pytest.mark.parametrize("field", ["name", "preferred_name", "pronouns", "timezone", "notes"])
@pytest.mark.parametrize("value", ["x" * 1_000_000, "NUL \0", "half \ud800", 7, ["list"]])
def test_an_invalid_profile_field_is_named(field: str, value: object) -> None:
    with pytest.raises(Invalid) as error:
        identity.UserUpdate.parse({field: value})
    assert error.value.field == field


async def test_a_deleted_user_changes_no_profile(session: AsyncSession, world: World) -> None:
    with pytest.raises(Unauthorized):
        await identity.update_profile(
            session, make_user("Ghost"), identity.UserUpdate.of(name="Boo")
        )
