"""Chains of the audit are locked last, in one order, so that commands do not deadlock."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from models import ApiToken, SignIn, User
from services import audit, identity
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.identity import VerifiedPassword
from tests.race.test_members import TOKEN, Deed
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.people_rows import make_invite
from tests.support.world import World

OLD_HASH, NEW_HASH = "an old hash", "a new hash"


def recording(*, world: World, installation: bool) -> Deed:
    """Add a record to the audit of Tern or of the installation, which locks the chain."""
    chain = None if installation else world.tern.id
    target = AuditObject("token", None, "of a race")
    record = NewAuditRecord(AuditAction.TOKEN_CREATED, target, organization_id=chain)

    async def do(session: AsyncSession) -> None:
        await audit.record_audit(session, [record])
        await audit.insert_pending_records(session)

    return do


async def run_between(
    transaction: TransactionFactory, first: Deed, waits: Deed, second: Deed
) -> None:
    """Run `first` and `second` in one transaction, and `waits` in another that waits for `first`.

    If `waits` already holds what `second` needs, the database reports a deadlock.
    """

    async def do() -> object:
        async with transaction() as session:
            return await waits(session)

    async with transaction() as session:
        await first(session)
        waiting = asyncio.create_task(do())
        await wait_for_lock_waiter(transaction)
        await second(session)
    await waiting


def locking(model: type[ApiToken | SignIn], user: User) -> Deed:
    rows = select(model.id).where(model.user_id == user.id).with_for_update()
    return lambda session: session.execute(rows)


@pytest.fixture
async def sign_in_id(isolated_transaction: TransactionFactory, isolated_world: World) -> UUID:
    """The session of Alice, who has a password."""
    async with isolated_transaction() as session:
        user = await session.get_one(User, isolated_world.alice.id)
        user.password_hash = OLD_HASH
        await identity.start_session(session, user, user_agent=None, ip=None)
        query = select(SignIn.id).where(SignIn.user_id == user.id)
        return (await session.scalars(query)).all()[0]


async def test_a_changed_password_locks_no_chain_before_the_sessions(
    isolated_transaction: TransactionFactory, isolated_world: World, sign_in_id: UUID
) -> None:
    alice = isolated_world.alice
    verified = VerifiedPassword(alice.id, OLD_HASH)

    async def change(session: AsyncSession) -> None:
        await identity.change_password(session, alice, verified, new_hash=NEW_HASH, keep=sign_in_id)

    kept = select(SignIn.id).where(SignIn.id == sign_in_id).with_for_update()

    async def lock(session: AsyncSession) -> None:
        await session.execute(kept)

    record = recording(world=isolated_world, installation=False)
    await run_between(isolated_transaction, lock, change, record)


async def test_a_reset_password_locks_no_chain_before_the_tokens(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    alice = isolated_world.alice
    async with isolated_transaction() as session:
        await identity.create_api_token(session, alice, identity.ApiTokenCreate(name="script"))
        secret = await identity.create_password_link(session, "alice@example.com")

    async def reset(session: AsyncSession) -> None:
        await identity.reset_password(session, secret, new_hash=NEW_HASH)

    record = recording(world=isolated_world, installation=False)
    await run_between(isolated_transaction, locking(ApiToken, alice), reset, record)


async def test_a_deleted_account_locks_no_chain_before_its_rows(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    charlie = isolated_world.charlie
    async with isolated_transaction() as session:
        await identity.start_session(session, charlie, user_agent=None, ip=None)

    async def delete(session: AsyncSession) -> None:
        await identity.delete_account(session, charlie)

    record = recording(world=isolated_world, installation=True)
    await run_between(isolated_transaction, locking(SignIn, charlie), delete, record)


@pytest.mark.parametrize("deed", ["register", "delete"])
async def test_the_chain_of_the_installation_is_locked_first(
    isolated_transaction: TransactionFactory, isolated_world: World, deed: str
) -> None:
    """Registrations and deleted accounts add to both, in the same order."""
    async with isolated_transaction() as session:
        session.add(make_invite(isolated_world.tern, "oskar@example.com", TOKEN))

    async def register(session: AsyncSession) -> None:
        await identity.register_with_invite(
            session, TOKEN, identity.AccountCreate(name="Oskar"), password_hash=NEW_HASH
        )

    async def delete(session: AsyncSession) -> None:
        await identity.delete_account(session, isolated_world.bob)

    await run_between(
        isolated_transaction,
        recording(world=isolated_world, installation=True),
        register if deed == "register" else delete,
        recording(world=isolated_world, installation=False),
    )
