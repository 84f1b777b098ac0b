"""Coming in by an invitation without an account, and leaving for good."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Invalid, NotFound, Unauthorized
from models import Invite, User
from services import accounts, identity, organizations
from tests.world import World, a_user, an_invite

TOKEN = "mc_invite_of-oskar"
PASSWORD = "ten letters or more"


@pytest.fixture
async def invited(session: AsyncSession, world: World) -> Invite:
    """Oskar, who has no account, is invited to Tern."""
    made = an_invite(world.tern, "oskar@example.com", TOKEN, all_boards_read=True)
    session.add(made)
    await session.flush()
    return made


async def join(session: AsyncSession, token: str = TOKEN, name: str = "Oskar") -> User:
    kept = await identity.hashed(PASSWORD, "password")
    user, _ = await accounts.join(session, token, name=name, password_hash=kept)
    return user


async def test_who_is_invited_comes_in_with_a_name_and_a_password(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    seen = await organizations.open_invite(session, TOKEN)
    assert (seen.organization.name, seen.invited_email) == ("Tern", "oskar@example.com")
    user = await join(session)
    member = await organizations.active(session, user)
    assert (member.organization.name, member.all_boards_read) == ("Tern", True)
    kept = await identity.kept_password(session, email="oskar@example.com")
    assert (await identity.check_credentials(kept, PASSWORD)).user_id == user.id
    assert user.email_verified_at is None
    with pytest.raises(NotFound):
        await organizations.open_invite(session, TOKEN)


async def test_a_dead_token_makes_no_account(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    invited.expires_at = now() - timedelta(seconds=1)
    for token in (TOKEN, "nonsense", "", "NUL \0", "half \ud800"):
        with pytest.raises(NotFound) as refusal:
            await join(session, token)
        assert refusal.value.code == "invite_not_found"
    count = select(func.count()).where(User.email == "oskar@example.com")
    assert await session.scalar(count) == 0


async def test_who_has_an_account_signs_in_and_accepts(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    session.add(a_user("Oskar"))
    with pytest.raises(Conflict) as refusal:
        await join(session)
    assert refusal.value.code == "email_taken"


async def test_whoever_comes_in_has_a_name(
    session: AsyncSession, world: World, invited: Invite
) -> None:
    for name in ("", "  ", "x" * 201):
        with pytest.raises(Invalid) as refusal:
            await join(session, name=name)
        assert refusal.value.field == "name"


async def test_who_is_gone_leaves_no_more(session: AsyncSession, world: World) -> None:
    await accounts.close(session, world.bob)
    with pytest.raises(Unauthorized):
        await accounts.close(session, world.bob)


async def test_a_refusal_to_leave_names_the_organizations(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Conflict) as refusal:
        await accounts.close(session, world.alice)
    named = refusal.value.details["organizations"]
    assert named == [{"id": str(world.tern.id), "name": "Tern"}]
