"""Links, tokens and sessions that are used or ended once, many times, with real commits."""

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict, NotFound
from core.security.secrets import hash_token
from models import (
    AgentToken,
    ApiToken,
    AuditRecord,
    Event,
    EventType,
    FirstRunLink,
    Invite,
    Member,
    PasswordLink,
    PendingSignIn,
    SignIn,
    User,
    new_id,
)
from services import agents, identity, organizations
from services.audit import AuditAction
from services.identity import AuthorizationRequest
from tests.support.board_rows import make_agent
from tests.support.credentials import authenticate_agent
from tests.support.people_rows import make_invite, make_user
from tests.support.rounds import ROUNDS, run_concurrently, run_rounds
from tests.support.world import World


async def add_users(transaction: TransactionFactory) -> list[User]:
    """Add a user for each round."""
    users = [make_user(f"User{number}") for number in range(ROUNDS)]
    async with transaction() as session:
        session.add_all(users)
    return users


def count_errors(results: list[object], *kinds: type[Exception]) -> int:
    """Return how many results are errors; fail if one is of another kind."""
    errors = [one for one in results if isinstance(one, BaseException)]
    assert all(isinstance(one, kinds) for one in errors), errors
    return len(errors)


async def count_audit_records(transaction: TransactionFactory, action: str) -> Counter[str | None]:
    async with transaction() as session:
        query = select(AuditRecord.object_id).where(AuditRecord.action == action)
        return Counter(await session.scalars(query))


async def test_an_invitation_is_accepted_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R10."""
    users = await add_users(isolated_transaction)
    async with isolated_transaction() as session:
        session.add_all(
            [make_invite(isolated_world.tern, str(user.email), str(user.id)) for user in users]
        )

    async def accept(user: User) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[lambda session: organizations.accept_invite(session, user, str(user.id))] * 2,
        )
        assert count_errors(results, NotFound) == 1

    await run_rounds(users, accept)
    ids = Counter(user.id for user in users)
    async with isolated_transaction() as session:
        joined = select(Event.user_id).where(Event.type == EventType.MEMBER_JOINED)
        assert Counter(await session.scalars(joined)) == ids
        members = select(Member.user_id).where(Member.user_id.in_(ids))
        assert Counter(await session.scalars(members)) == ids
        accepted = select(Invite.accepted_by_user_id).where(Invite.accepted_at.is_not(None))
        assert Counter(await session.scalars(accepted)) == ids


async def test_an_invitation_creates_one_account(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    emails = [f"guest{number}@example.com" for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([make_invite(isolated_world.tern, email, email) for email in emails])

    async def register(email: str) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[
                lambda session: identity.register_with_invite(
                    session, email, identity.AccountCreate(name="Guest"), password_hash="not a hash"
                )
            ]
            * 2,
        )
        assert count_errors(results, NotFound, Conflict) == 1

    await run_rounds(emails, register)
    async with isolated_transaction() as session:
        created = select(User.email).where(User.email.in_(emails))
        assert Counter(await session.scalars(created)) == Counter(emails)


async def test_a_first_run_link_creates_one_owner(
    isolated_transaction: TransactionFactory,
) -> None:
    async def register(_round: int) -> None:
        async with isolated_transaction() as session:
            await session.execute(delete(User))
            await session.execute(delete(FirstRunLink))
            secret = await identity.create_first_run_link(session)
        assert secret is not None
        results = await run_concurrently(
            isolated_transaction,
            *[
                lambda session, number=number: identity.complete_first_run(
                    session,
                    secret,
                    identity.FirstOwnerCreate(
                        name=f"Owner {number}", email=f"owner{number}@example.com"
                    ),
                    password_hash="kept",
                )
                for number in range(3)
            ],
        )
        assert count_errors(results, NotFound) == 2
        async with isolated_transaction() as session:
            assert await session.scalar(select(func.count()).select_from(User)) == 1

    await run_rounds(range(ROUNDS), register, at_once=1)
    records = await count_audit_records(isolated_transaction, AuditAction.FIRST_OWNER_CREATED)
    assert sum(records.values()) == ROUNDS


async def test_a_password_link_sets_one_password(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    users = await add_users(isolated_transaction)
    rows = [
        {"id": new_id(), "user_id": user.id, "secret_hash": hash_token(f"secret {user.id}")}
        | {"created_at": now(), "expires_at": now() + timedelta(hours=24)}
        for user in users
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(PasswordLink), rows)

    async def reset(user: User) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[
                lambda session, new=new: identity.reset_password(
                    session, f"secret {user.id}", new_hash=new
                )
                for new in ("one", "other")
            ],
        )
        assert count_errors(results, NotFound) == 1
        winner = next(one.password_hash for one in results if isinstance(one, User))
        async with isolated_transaction() as session:
            assert (await session.get_one(User, user.id)).password_hash == winner

    await run_rounds(users, reset)
    records = await count_audit_records(isolated_transaction, AuditAction.SESSION_ENDED)
    assert records == Counter(str(user.id) for user in users)


async def test_a_sign_in_at_a_provider_is_completed_once(
    isolated_transaction: TransactionFactory,
) -> None:
    requests = [AuthorizationRequest.generate() for _ in range(ROUNDS)]
    async with isolated_transaction() as session:
        for one in requests:
            await identity.save_authorization_request(session, one, browser="a browser", next="/")

    async def come_back(one: AuthorizationRequest) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[
                lambda session: identity.consume_authorization_request(
                    session, state=one.state, browser="a browser"
                )
            ]
            * 3,
        )
        assert count_errors(results, Conflict) == 2

    await run_rounds(requests, come_back, at_once=3)
    async with isolated_transaction() as session:
        unused = select(func.count()).where(PendingSignIn.used_at.is_(None))
        assert await session.scalar(unused) == 0


async def test_an_api_token_is_revoked_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    alice = isolated_world.alice
    rows: list[dict[str, Any]] = [
        {"id": new_id(), "user_id": alice.id, "name": "script", "prefix": f"mc_user_{number}"}
        | {"secret_hash": hash_token(f"secret {number}"), "created_at": now()}
        for number in range(ROUNDS)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(ApiToken), rows)

    async def revoke(id: UUID) -> None:
        results = await run_concurrently(
            isolated_transaction,
            *[lambda session: identity.revoke_api_token(session, alice, id)] * 2,
        )
        assert count_errors(results, NotFound) == 1

    await run_rounds([row["id"] for row in rows], revoke)
    records = await count_audit_records(isolated_transaction, AuditAction.TOKEN_REVOKED)
    assert records == Counter(row["prefix"] for row in rows)


async def test_a_session_ends_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    alice = isolated_world.alice
    async with isolated_transaction() as session:
        secrets = [
            await identity.start_session(session, alice, user_agent=None, ip=None)
            for _ in range(ROUNDS)
        ]
        query = select(SignIn.secret_hash, SignIn.id).where(SignIn.user_id == alice.id)
        ids = {hash: id for hash, id in await session.execute(query)}

    async def end(secret: str) -> None:
        id = ids[hash_token(secret)]
        results = await run_concurrently(
            isolated_transaction,
            lambda session: identity.sign_out(session, secret),
            lambda session: identity.end_session(session, alice, id),
        )
        count_errors(results, NotFound)

    await run_rounds(secrets, end)
    records = await count_audit_records(isolated_transaction, AuditAction.SESSION_ENDED)
    assert records == Counter(str(ids[hash_token(secret)]) for secret in secrets)


async def test_of_concurrently_issued_tokens_the_first_used_ends_the_older(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Once the newest was used, it is the only one."""
    world = isolated_world
    rows = [make_agent(f"Agent {number}", world.board) for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(agent) for agent in rows])

    async def rotate(id: UUID) -> None:
        issued = await run_concurrently(
            isolated_transaction,
            *[lambda session: agents.issue_token(session, world.alice_member, id)] * 2,
        )
        assert count_errors(issued) == 0
        await run_concurrently(
            isolated_transaction,
            *[lambda session, one=one: authenticate_agent(session, one) for _, one in issued],
        )
        async with isolated_transaction() as session:
            query = select(AgentToken.secret_hash).where(AgentToken.agent_id == id)
            query = query.where(AgentToken.ended_at.is_(None))
            newest = query.order_by(AgentToken.created_at.desc())
            valid = (await session.scalars(newest)).all()
        assert len(valid) == 1
        assert valid[0] in {hash_token(one) for _, one in issued}

    await run_rounds([agent.id for agent in rows], rotate)
