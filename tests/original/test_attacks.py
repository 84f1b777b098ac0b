"""Imports of what an attacker has stored in the original, and beside what is here already."""

from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import Invalid
from models import (
    AuditRecord,
    CustomField,
    ExternalIdentity,
    Invite,
    Member,
    Organization,
    Task,
    User,
    WebhookPayload,
)
from services import audit
from tests.original.test_import import make_owner
from tests.support.original_data import SECOND_ORGANIZATION
from tests.support.original_import import ISSUER, run_import
from tests.support.tiers import repetition

MEMBERS = "select distinct user_id from organization_members"


@pytest.mark.parametrize("issuer", [ISSUER, pytest.param(None, marks=repetition)])
async def test_people_of_the_original_with_one_address_stay_apart(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
    issuer: str | None,
) -> None:
    await run_import(
        isolated_transaction,
        original_url,
        isolated_settings,
        issuer=issuer,
        keeps_users_without_issuer=issuer is None,
        matches_emails=True,
    )
    emails = await original.fetchval("select count(distinct lower(email)) from users")
    assert emails < await original.fetchval("select count(email) from users")
    async with isolated_transaction() as session:
        members = {*await session.scalars(select(Member.user_id))}
    assert members == {row["user_id"] for row in await original.fetch(MEMBERS)}


async def test_an_account_with_another_id_at_the_issuer_is_somebody_else(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    ours, _ = await make_owner(isolated_transaction, "dave@example.com")
    async with isolated_transaction() as session:
        await session.execute(update(User).values(email_verified_at=now()))
        session.add(
            ExternalIdentity(user_id=ours.id, issuer=ISSUER, subject="other", created_at=now())
        )
    await run_import(
        isolated_transaction,
        original_url,
        isolated_settings,
        organization=SECOND_ORGANIZATION,
        matches_emails=True,
    )
    async with isolated_transaction() as session:
        query = select(func.count()).where(Member.user_id == ours.id)
        assert await session.scalar(query) == 1


async def test_an_open_invitation_does_not_outlive_the_rights_of_who_has_invited(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await original.execute(
        "update organization_invites set role = 'owner', accepted_at = null,"
        " invited_email = left(id::text, 8) || '@example.com', created_by_user_id ="
        f" (select id from users where id not in ({MEMBERS}) limit 1)"
    )
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    assert report.written["invitations"] == 0 < report.read["invitations"]
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Invite)) == 0


async def test_the_report_names_the_organization_whose_owners_operate(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    query = "update organizations set created_at = '0001-01-01' where name = $1"
    await original.execute(query, SECOND_ORGANIZATION)
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        first_id = await audit.find_first_organization_id(session)
    assert first_id is not None
    assert report.first_organization == report.organizations[first_id] != SECOND_ORGANIZATION


async def test_an_imported_organization_is_the_newest_beside_others(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    await make_owner(isolated_transaction, "olga@example.com")
    async with isolated_transaction() as session:
        await session.execute(update(Organization).values(created_at=now().replace(year=2001)))
        await session.execute(update(User).values(password_hash="-"))
        at = now()
        session.add(Organization(name="Second of ours", created_at=at, updated_at=at))
    await run_import(
        isolated_transaction, original_url, isolated_settings, organization=SECOND_ORGANIZATION
    )
    async with isolated_transaction() as session:
        query = select(Organization.name).order_by(Organization.created_at)
        assert [*await session.scalars(query)][-1] == SECOND_ORGANIZATION


async def test_an_installation_whose_owner_has_no_organization_is_not_given_away(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    _, ours = await make_owner(isolated_transaction, "olga@example.com")
    async with isolated_transaction() as session:
        await session.delete(await session.get_one(Organization, ours.id))
        await session.execute(update(User).values(password_hash="-"))
    with pytest.raises(Invalid, match="--organization"):
        await run_import(isolated_transaction, original_url, isolated_settings)


async def test_names_that_a_terminal_interprets_are_shown_nowhere(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    query = "update organizations set name = E'\\x1b[2J\\n' || repeat('x', 100000) || id"
    await original.execute(query)
    with pytest.raises(Invalid) as caught:
        await run_import(isolated_transaction, original_url, isolated_settings, organization="-")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 2_000
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        names = [*await session.scalars(select(AuditRecord.object_name))]
    assert all(name and name.isprintable() and len(name) <= 200 for name in names)


async def test_of_a_ring_of_dependencies_one_stays_behind(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    await original.execute("delete from task_dependencies")
    await original.execute(
        "insert into task_dependencies (id, board_id, task_id, depends_on_task_id, created_at)"
        " select gen_random_uuid(), board_id, id, coalesce(lead(id) over ring, first_value(id)"
        " over ring), now() - (random() || ' hours')::interval"
        " from tasks where board_id = (select board_id from tasks group by 1 having count(*) > 5"
        " order by 1 limit 1) window ring as (order by id)"
    )
    count = await original.fetchval("select count(*) from task_dependencies")
    report = await run_import(isolated_transaction, original_url, isolated_settings)
    assert report.written["dependencies"] == count - 1 > 4
    assert report.left["dependencies", "it would create a cycle"].count == 1


async def test_a_payload_from_before_the_secret_is_unsigned(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    signed = {row["id"] for row in await original.fetch("select id from board_webhooks")}
    await original.execute("update board_webhooks set secret = 'new', updated_at = '2030-01-01'")
    query = "insert into board_webhook_payloads (id, board_id, webhook_id, received_at)"
    for time in ("2029-01-01", "2031-01-01"):
        await original.execute(
            f"{query} select gen_random_uuid(), board_id, id, '{time}' from board_webhooks"
        )
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        of_signed = select(WebhookPayload.webhook_id).where(WebhookPayload.is_signed)
        found = [*await session.scalars(of_signed)]
    assert sorted(found) == sorted(signed)


async def test_moves_in_years_that_cannot_be_stored_do_not_count(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    task_id = await original.fetchval(
        "update tasks set status = 'done' where id = (select id from tasks where board_id in"
        " (select id from boards) limit 1) returning id"
    )
    await original.execute("delete from activity_events where task_id = $1", task_id)
    await original.execute(
        "insert into activity_events (id, event_type, message, task_id, created_at)"
        " select gen_random_uuid(), 'task.status_changed', 'Task moved to ' || status || ': x', $1,"
        " at from unnest(array['in_progress', 'done']) status, unnest(array["
        " '0001-01-01', '2026-03-04', '9999-12-31', '20000-01-01']::timestamp[]) at",
        task_id,
    )
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        task = await session.get_one(Task, task_id)
    assert task.started_at == task.done_at == datetime(2026, 3, 4, tzinfo=UTC)


async def test_only_the_invalid_part_of_a_custom_field_is_left_out(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
) -> None:
    field_id = await original.fetchval(
        "update task_custom_field_definitions set field_type = 'text', validation_regex = 'a+',"
        " default_value = to_json('b'::text)"
        " where id = (select id from task_custom_field_definitions limit 1) returning id"
    )
    await run_import(isolated_transaction, original_url, isolated_settings)
    async with isolated_transaction() as session:
        field = await session.get_one(CustomField, field_id)
    assert (field.validation_regex, field.default_value) == ("a+", None)
