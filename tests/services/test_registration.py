"""Registration by invitation, and account deletion."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid, NotFound, Unauthorized
from models import Invite, User
from services import identity, organizations
from tests.support.people_rows import make_invite, make_user
from tests.support.world import World

TOKEN = "mc_invite_of-oskar"
PASSWORD = "ten letters or more"


@pytest.fixture
async def invited(session: AsyncSession, world: World) -> Invite:
    """Oskar, who has no account, is invited to Tern."""
    created = make_invite(world.tern, "oskar@example.com", TOKEN, all_boards_read=True)
    session.add(created)
    await session.flush()
    return created


async def join(session: AsyncSession, token: str = TOKEN, name: str = "Oskar") -> User:
    stored = await identity.hash_new_password(PASSWORD, "password")
    user, _ = await identity.register_with_invite(
        session, token, identity.AccountCreate(name=name), password_hash=stored
    )
    return user


async def test_an_invited_user_registers_with_name_and_password(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    loaded = await organizations.get_open_invite(session, TOKEN)
    assert (loaded.organization.name, loaded.invited_email) == ("Tern", "oskar@example.com")
    user = await join(session)
    member = await organizations.get_or_create_active_membership(session, user)
    assert (member.organization.name, member.all_boards_read) == ("Tern", True)
    stored = await identity.find_stored_password(session, email="oskar@example.com")
    assert (await identity.verify_credentials(stored, PASSWORD)).user_id == user.id
    assert user.email_verified_at is None
    with pytest.raises(NotFound):
        await organizations.get_open_invite(session, TOKEN)


async def test_an_invalid_invitation_creates_no_account(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    invited.expires_at = now() - timedelta(seconds=1)
    for token in (TOKEN, "nonsense", "", "NUL \0", "half \ud800"):
        with pytest.raises(NotFound) as error:
            await join(session, token)
        assert error.value.code == "invite_not_found"
    count = select(func.count()).where(User.email == "oskar@example.com")
    assert await session.scalar(count) == 0


async def test_an_existing_user_has_to_sign_in_to_accept(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    session.add(make_user("Oskar"))
    with pytest.raises(Conflict) as error:
        await join(session)
    assert error.value.code == "email_taken"


def test_registration_requires_a_name() -> None:
    for name in ("", "  ", "\u200b", "x" * 201):
        with pytest.raises(Invalid) as error:
            identity.AccountCreate.parse({"name": name})
        assert error.value.field == "name"


async def test_a_deleted_account_cannot_be_deleted_again(
    session: AsyncSession, world: World
) -> None:
    await identity.delete_account(session, world.bob)
    with pytest.raises(Unauthorized):
        await identity.delete_account(session, world.bob)


async def test_the_last_owner_error_lists_the_organizations(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Conflict) as error:
        await identity.delete_account(session, world.alice)
    named = error.value.details["organizations"]
    assert named == [{"id": str(world.tern.id), "name": "Tern"}]
