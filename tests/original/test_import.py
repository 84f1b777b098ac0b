"""What is imported of the original, and what an import leaves as it is."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import func, select, text

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import Invalid
from core.security.secrets import hash_token
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    AuditRecord,
    Board,
    Comment,
    Event,
    ExternalIdentity,
    Gateway,
    Invite,
    Member,
    Organization,
    Role,
    Task,
    User,
)
from openclaw import DeviceIdentity
from services import agents, approvals, audit, counters, identity, tasks
from services.gateways import GatewayConnector
from services.original import open_original
from tests.support.original_data import (
    FIRST_ORGANIZATION,
    GATEWAY_TOKENS,
    SECOND_ORGANIZATION,
)
from tests.support.original_import import (
    ISSUER,
    fetch_content,
    fetch_ids,
    fetch_original_content,
    read_device_key,
    run_import,
)
from tests.support.secret_key import CIPHER

SAME_TABLES = (
    *("organizations", "organization_members", "organization_board_access", "board_groups"),
    *("boards", "organization_invite_board_access", "skill_packs", "gateway_installed_skills"),
    *("tags", "task_custom_field_definitions", "board_task_custom_fields", "task_dependencies"),
    *("tag_assignments", "approvals", "board_memory"),
    *("board_group_memory", "board_onboarding_sessions", "board_webhooks"),
    "board_webhook_payloads",
)
"""The tables of which all rows of the test data come."""


async def test_all_that_can_be_used_comes_with_its_ids(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        for table in SAME_TABLES:
            imported = {str(id) for id in await session.scalars(text(f"select id from {table}"))}
            assert imported == await fetch_ids(original, table), table
        links = {str(id) for id in await session.scalars(select(ApprovalTask.id))}
        assert links > await fetch_ids(original, "approval_task_links")  # older ones have no link
        events = set(await session.scalars(select(Event.id)))
        assert len(events) == report.written["events and comments"]
        assert {str(id) for id in events} < await fetch_ids(original, "activity_events")
        assert set(await session.scalars(select(Comment.id))) < events
    for kind, read in report.read.items():
        left = sum(note.count for (of, _), note in report.left.items() if of == kind)
        known = sum(
            note.count
            for (of, reason), note in report.changes.items()
            if of == kind and reason.startswith("already here")
        )
        assert read == report.written[kind] + left + known, kind


async def test_counters_and_the_audit_are_right_after_an_import(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        assert await counters.repair_counters(session) == []
        records = [*await session.scalars(select(AuditRecord).order_by(AuditRecord.sequence))]
        organizations = {*await session.scalars(select(Organization.id))}
        assert {one.organization_id for one in records} == {None, *organizations}
        assert {one.action for one in records} == {"installation.original_imported"}
        [ours] = [one for one in records if one.organization_id is None]
        assert ours.after is not None
        assert ours.after["issuer"] == ISSUER
        assert ours.after["rows"]["tasks"] == await session.scalar(
            select(func.count()).select_from(Task)
        )
        for record in records:
            assert audit.compute_hash(audit.to_export(record)) == record.hash


async def test_a_second_import_changes_nothing(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    theirs = await fetch_original_content(original)
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        before = await fetch_content(session)
    again = await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        assert await fetch_content(session) == before
    assert await fetch_original_content(original) == theirs
    assert again.is_empty
    assert len(again.present) == 3


async def test_of_two_imports_at_once_one_finds_what_the_other_has_imported(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    imports = [run_import(isolated_transaction, original_url, isolated_settings) for _ in range(2)]
    reports = await asyncio.gather(*imports)
    assert sorted(len(one.present) for one in reports) == [0, 3]


async def test_a_preview_changes_nothing_and_says_what_the_import_does(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    async with isolated_transaction() as session:
        before = await fetch_content(session)
    preview = await run_import(isolated_transaction, original_url, isolated_settings, commits=False)
    async with isolated_transaction() as session:
        assert await fetch_content(session) == before
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    assert (preview.read, preview.written) == (report.read, report.written)
    assert preview.changes == report.changes
    assert preview.left == report.left


async def test_users_keep_their_sign_in_at_clerk(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    with pytest.raises(Invalid, match="--issuer"):
        await run_import(isolated_transaction, original_url, isolated_settings, issuer=None)
    await run_import(isolated_transaction, original_url, isolated_settings)
    query = (
        "select distinct users.id, clerk_user_id from users"
        " join organization_members on user_id = users.id where clerk_user_id like 'user_%'"
    )
    expected = {(row["clerk_user_id"], row["id"]) for row in await original.fetch(query)}
    async with isolated_transaction() as session:
        identities = [*await session.scalars(select(ExternalIdentity))]
        assert {(one.subject, one.user_id) for one in identities} == expected
        assert {one.issuer for one in identities} == {ISSUER}
        emails = [one for one in await session.scalars(select(func.lower(User.email))) if one]
        assert len({*emails}) == len(emails)
        for one in identities:
            profile = identity.ProviderProfile(
                ISSUER, one.subject, email=None, is_verified=False, name=None, until=now()
            )
            user = await identity.get_or_create_external_user(session, profile)
            assert user.id == one.user_id
        assert await session.scalar(select(func.count()).where(User.is_super_admin)) == 0


async def test_the_local_user_is_the_first_owner(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
) -> None:
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    assert report.first_organization == FIRST_ORGANIZATION
    async with isolated_transaction() as session:
        query = select(Member).join(Member.user).where(User.clerk_user_id == "local-auth-user")
        roles = [(one.organization_id, one.role) for one in await session.scalars(query)]
        assert (await audit.find_first_organization_id(session), Role.OWNER) in roles


async def make_owner(transaction: TransactionFactory, email: str) -> tuple[User, Organization]:
    """Create an organization with an owner, beside which one is imported."""
    async with transaction() as session:
        at = await session.scalar(select(func.now()))
        times = {"created_at": at, "updated_at": at}
        organization = Organization(name="Tern", **times)
        user = User(clerk_user_id="user-olga", email=email, **times)
        session.add_all([organization, user])
        await session.flush()
        rights = {"role": Role.OWNER, "all_boards_read": True, "all_boards_write": True}
        session.add(Member(organization=organization, user=user, **rights, **times))
    return user, organization


async def test_one_organization_comes_beside_others_and_gets_no_power(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    _, ours = await make_owner(isolated_transaction, "olga@example.com")
    with pytest.raises(Invalid, match="--organization"):
        await run_import(isolated_transaction, original_url, isolated_settings)
    with pytest.raises(Invalid, match="2 organizations called Personal"):
        await run_import(
            isolated_transaction,
            original_url,
            isolated_settings,
            organization=FIRST_ORGANIZATION,
        )
    report = await run_import(
        isolated_transaction, original_url, isolated_settings, organization=SECOND_ORGANIZATION
    )
    assert [*report.organizations.values()] == [SECOND_ORGANIZATION]
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Organization)) == 2
        assert await audit.find_first_organization_id(session) == ours.id
        boards = await session.scalars(select(Board.organization_id))
        assert {*boards} == {*report.organizations}
        assert (
            len([*await session.scalars(select(Member).where(Member.organization_id == ours.id))])
            == 1
        )
        private = await session.scalars(select(Gateway.allows_private))
        assert set(private) == {False}
        assert len(report.private_gateways) == 1


async def test_an_account_is_not_taken_over_by_its_address(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    ours, _ = await make_owner(isolated_transaction, "Dave@Example.com")
    preview = await run_import(
        isolated_transaction,
        original_url,
        isolated_settings,
        commits=False,
        matches_emails=True,
        organization=SECOND_ORGANIZATION,
    )
    assert preview.matched == ["dave@example.com (nobody has verified it)"]
    await run_import(
        isolated_transaction, original_url, isolated_settings, organization=SECOND_ORGANIZATION
    )
    async with isolated_transaction() as session:
        organizations = select(Member.organization_id).where(Member.user_id == ours.id)
        assert len([*await session.scalars(organizations)]) == 1
        same = select(User).where(func.lower(User.email) == "dave@example.com")
        [user] = await session.scalars(same)
        assert user.id == ours.id
        assert (user.clerk_user_id, user.email) == ("user-olga", "Dave@Example.com")


async def test_the_local_user_of_the_original_is_not_our_first_user(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await make_owner(isolated_transaction, "olga@example.com")
    theirs = await original.fetchrow(
        "select users.id, organization_id from users join organization_members on"
        " user_id = users.id where clerk_user_id = 'local-auth-user' order by created_at"
    )
    chosen = str(theirs["organization_id"])
    await run_import(isolated_transaction, original_url, isolated_settings, organization=chosen)
    async with isolated_transaction() as session:
        imported = await session.get_one(User, theirs["id"])
        assert imported.clerk_user_id == str(imported.id)


async def test_two_users_with_one_address_stay_two_accounts(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    twins = "select id from users where lower(email) = 'alice@example.com'"
    ids = {row["id"] for row in await original.fetch(twins)}
    assert len(ids) == 2
    report = await run_import(
        isolated_transaction, original_url, isolated_settings, matches_emails=True
    )
    async with isolated_transaction() as session:
        imported = select(User.email, User.id).where(User.id.in_(ids))
        emails = {email: id for email, id in await session.execute(imported)}
    assert emails.keys() == {None, "alice@example.com"}
    [shown] = [one for users in report.accounts.values() for one in users if "Alice" in one]
    assert shown == f"Alice <Admin> ({emails[None]})"


async def test_gateways_keep_token_and_device(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    key = read_device_key()
    report = await run_import(isolated_transaction, original_url, isolated_settings, device_key=key)
    assert report.new_devices == []
    connector = GatewayConnector.from_settings(isolated_settings, CIPHER)
    async with isolated_transaction() as session:
        gateways = {one.name: one for one in await session.scalars(select(Gateway))}
        for name, token in GATEWAY_TOKENS.items():
            secrets = connector.decrypt_secrets(gateways[name])
            assert secrets.token == token
            assert secrets.device.id == DeviceIdentity(key.seed).id
        stored = str(await session.scalar(text("select string_agg(g::text, '') from gateways g")))
    assert not any(token in stored for token in GATEWAY_TOKENS.values())


async def test_agents_are_as_their_gateways_have_them(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        on_gateways = select(Agent).where(Agent.gateway_id.is_not(None))
        found = [*await session.scalars(on_gateways)]
        assert found
        assert {one.step for one in found} == {None}  # nothing is written to a gateway
        assert {one.wants_wake for one in found} == {False}
        assert all(one.openclaw_session_id == one.session_key for one in found if not one.board_id)
        assert all(one.gateway_key for one in found)
        places = [(one.gateway_id, one.gateway_key) for one in found]
        assert len({*places}) == len(places)  # each has a workspace of its own


async def test_approvals_of_the_original_bind_no_content(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        found = [*await session.scalars(select(Approval))]
        assert {one.status for one in found} == {*ApprovalStatus}
        assert {(one.requested_hash, one.action_hash) for one in found} == {(None, None)}
        links = [*await session.scalars(select(ApprovalTask))]
        assert links
        assert {(one.content, one.content_hash, one.used_at) for one in links} == {(None,) * 3}


async def test_open_invitations_keep_their_links(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await run_import(isolated_transaction, original_url, isolated_settings)
    tokens = await original.fetch("select id, token from organization_invites")
    async with isolated_transaction() as session:
        hashes = {one.id: one.token_hash for one in await session.scalars(select(Invite))}
    kept = [row for row in tokens if row["id"] in hashes]
    assert kept
    assert all(hashes[row["id"]] == hash_token(row["token"]) for row in kept)


async def test_another_schema_is_refused(
    original_url: str, original: asyncpg.Connection, isolated_settings: Settings
) -> None:
    await original.execute("alter table tags drop column color")
    with pytest.raises(Invalid, match="no column color in the table tags"):
        async with open_original(original_url):
            pass
    await original.execute("update alembic_version set version_num = 'f4d2b649e93a'")
    with pytest.raises(Invalid, match="has the schema f4d2b649e93a"):
        async with open_original(original_url):
            pass
    assert isolated_settings.database_url
    with pytest.raises(Invalid, match="has the schema"):  # our own database
        async with open_original(isolated_settings.database_url):
            pass
    with pytest.raises(Invalid, match="cannot be opened"):
        async with open_original("postgresql://nobody@127.0.0.1:1/nothing"):
            pass


async def test_the_link_of_the_first_start_completes_the_local_user(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await run_import(isolated_transaction, original_url, isolated_settings)
    id = await original.fetchval("select id from users where clerk_user_id = 'local-auth-user'")
    fields = identity.FirstOwnerCreate(name="Olga", email="olga@example.com")
    async with isolated_transaction() as session:
        secret = await identity.create_first_run_link(session)
        assert secret is not None
        user = await identity.complete_first_run(session, secret, fields, password_hash="-")
        assert (user.id, user.email) == (id, "olga@example.com")


async def test_a_later_import_of_another_organization_finds_its_accounts(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    query = "select id from organizations where name = $1 order by created_at limit 1"
    first = await original.fetchval(query, FIRST_ORGANIZATION)
    for chosen in (SECOND_ORGANIZATION, str(first)):
        report = await run_import(
            isolated_transaction, original_url, isolated_settings, organization=chosen
        )
    assert report.present == {}
    async with isolated_transaction() as session:
        members = select(Member.user_id).group_by(Member.user_id).having(func.count() > 1)
        both = {*await session.scalars(members)}
        ids = {*await session.scalars(select(User.id))}
    shared = (
        "select user_id from organization_members where organization_id in"
        " (select id from organizations where id = $1 or name = $2)"
        " group by user_id having count(*) > 1"
    )
    rows = await original.fetch(shared, first, SECOND_ORGANIZATION)
    assert both == {row["user_id"] for row in rows}
    assert both
    assert ids <= {row["id"] for row in await original.fetch("select id from users")}


async def test_a_task_of_an_agent_of_another_board_is_imported_unassigned(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    id = await original.fetchval(
        "update tasks set assigned_agent_id = agents.id from agents, boards as own, boards as other"
        " where tasks.id = (select id from tasks order by id limit 1) and own.id = tasks.board_id"
        " and other.organization_id = own.organization_id and other.id <> own.id"
        " and agents.board_id = other.id returning tasks.id"
    )
    assert id
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        assert (await session.get_one(Task, id)).assigned_agent_id is None
    reason = "assigned_agent_id: an agent that is not on the board is left out"
    assert str(id) in str(report.changes["tasks", reason])


async def test_nobody_is_notified_of_what_waits_for_long(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await original.execute(
        "update tasks set status = 'in_progress', assigned_agent_id = agents.id,"
        " updated_at = '2026-01-01' from agents where agents.board_id = tasks.board_id"
    )
    await original.execute("update approvals set created_at = '2026-01-01'")
    await original.execute("update agents set status = 'online', last_seen_at = '2026-01-01'")
    await original.execute("delete from activity_events where event_type like 'task.%'")
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        before = await fetch_content(session)
    async with isolated_transaction() as session:
        for board_id in await session.scalars(select(Board.id)):
            await tasks.follow_up_tasks(session, board_id)
        await approvals.remind_of_approvals(session)
        await agents.mark_silent_agents_offline(session, offline_after=timedelta(minutes=10))
    async with isolated_transaction() as session:
        after = await fetch_content(session)
        assert await session.scalar(select(func.count()).where(Task.stale_since.is_not(None)))
    tables = ("agent_messages", "notifications", "agents")
    assert {name: after[name] for name in tables} == {name: before[name] for name in tables}
