"""What was imported works: agents with their tokens, webhooks, pages and the way to Done."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import httpx2
import pytest
from sqlalchemy import func, select, update
from starlette.types import ASGIApp

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    BoardGroup,
    BoardWebhook,
    CustomField,
    Gateway,
    Member,
    Organization,
    Role,
    SignIn,
    Skill,
    SkillPack,
    Status,
    Tag,
    Task,
    User,
    WebhookPayload,
    new_id,
)
from services import identity
from tests.support.api_fixtures import committing_api_app
from tests.support.original_data import (
    AGENT_TOKENS,
    OWN_SIGNATURE_HEADER,
    SECOND_ORGANIZATION,
    WEBHOOK_SECRETS,
)
from tests.support.original_import import run_import
from tests.support.people_rows import cookie_secret
from tests.support.tiers import repetition, select_options
from web.auth.viewer import SESSION_COOKIE

__all__ = ["committing_api_app"]

BOARD_PAGES = ("", "?view=list", "?view=calendar", "/webhooks", "/settings", "/chat", "/notes")
BOARD_PAGES += ("/feed", "/onboarding", "/trash", "/tasks/new")
PAGES = ("/dashboard", "/boards", "/agents", "/groups", "/gateways", "/approvals", "/audit")
PAGES += ("/activity", "/tags", "/fields", "/people", "/skills", "/search?q=a", "/organization")
OBJECT_PAGES = {
    BoardGroup: "/groups/{}",
    Gateway: "/gateways/{}",
    Tag: "/tags/{}",
    CustomField: "/fields/{}/edit",
    Skill: "/skills/{}",
    SkillPack: "/skills/packs/{}",
}
AGENT_PAGES = ("", "/settings", "/soul", "/messages")


@pytest.fixture
async def client(
    committing_api_app: ASGIApp,
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without credentials of an installation into which the original was imported."""
    await run_import(isolated_transaction, original_url, isolated_settings)
    transport = httpx2.ASGITransport(committing_api_app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://mission.test") as client:
        yield client


async def test_agents_call_with_their_old_tokens(
    client: httpx2.AsyncClient, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        query = select(Agent).where(Agent.agent_token_hash.is_not(None))
        agents = {one.id: one for one in await session.scalars(query)}
    called = []
    for name, token in AGENT_TOKENS.items():
        headers = {"X-Agent-Token": token}
        response = await client.post("/api/v1/agent/heartbeat", headers=headers, json={})
        assert response.status_code == 200, (name, response.text)
        body = response.json()
        agent = next(one for one in agents.values() if str(one.id) == body["id"])
        called.append(agent.id)
        if agent.board_id is not None:
            path = f"/api/v1/agent/boards/{agent.board_id}/tasks"
            tasks = await client.get(path, headers=headers)
            assert tasks.status_code == 200
    assert {*called} <= {*agents}
    wrong = await client.post(
        "/api/v1/agent/heartbeat", headers={"X-Agent-Token": "x" * 43}, json={}
    )
    assert wrong.status_code == 401


async def test_signed_deliveries_are_accepted_and_others_are_not(
    client: httpx2.AsyncClient, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        webhooks = {one.description: one for one in await session.scalars(select(BoardWebhook))}
        payloads = select(func.count()).select_from(WebhookPayload)
        before = await session.scalar(payloads)
        of_signed = select(WebhookPayload.is_signed, BoardWebhook.description).join_from(
            WebhookPayload, BoardWebhook, BoardWebhook.id == WebhookPayload.webhook_id
        )
        received = {
            (text.split()[0], is_signed) for is_signed, text in await session.execute(of_signed)
        }
        assert {("Signed", True), ("Unsigned", False)} <= received
        assert ("Unsigned", True) not in received
    body = b'{"ref": "refs/heads/main"}'
    for description, secret in WEBHOOK_SECRETS.items():
        [webhook] = [one for text, one in webhooks.items() if text.startswith(description)][:1]
        webhook = webhooks.get(description, webhook)
        own = description != "Signed"
        header = OWN_SIGNATURE_HEADER if own else "X-Hub-Signature-256"
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        path = f"/api/v1/boards/{webhook.board_id}/webhooks/{webhook.id}"
        json_type = {"Content-Type": "application/json"}
        signed = await client.post(
            path, content=body, headers={header: f"sha256={digest}", **json_type}
        )
        assert signed.status_code == 202, signed.text
        unsigned = await client.post(path, content=body, headers=json_type)
        assert unsigned.status_code == 403
    [no_secret] = [one for text, one in webhooks.items() if text.startswith("Unsigned")]
    assert not no_secret.allows_unsigned
    path = f"/api/v1/boards/{no_secret.board_id}/webhooks/{no_secret.id}"
    refused = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code == 403
    async with isolated_transaction() as session:
        after = await session.scalar(payloads)
    assert after == (before or 0) + len(WEBHOOK_SECRETS)


@repetition
async def test_payloads_of_webhooks_without_a_secret_are_marked_as_unsigned(
    client: httpx2.AsyncClient, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        query = select(BoardWebhook.description, WebhookPayload.is_signed)
        query = query.join(WebhookPayload, WebhookPayload.webhook_id == BoardWebhook.id)
        marks = {(text.split("<")[0].strip(), mark) for text, mark in await session.execute(query)}
    assert marks == {("Unsigned", False), *((name, True) for name in WEBHOOK_SECRETS)}


async def test_the_first_owner_comes_to_what_was_imported_and_not_to_the_first_steps(
    client: httpx2.AsyncClient, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        link = await identity.create_first_run_link(session)
    owner = {"name": "Mara", "email": "mara@example.com", "password": "a quiet long watch"}
    page = {"Sec-Fetch-Site": "same-origin"}
    made = await client.post("/first-run", data=owner | {"link": link}, headers=page)
    assert (made.status_code, made.headers["Location"]) == (303, "/")


async def sign_in(transaction: TransactionFactory, organization: Organization) -> User:
    """Sign an owner of an organization in, and return the user."""
    at = now()
    async with transaction() as session:
        query = select(User).join(Member, Member.user_id == User.id)
        is_owner = (Member.organization_id == organization.id) & (Member.role == Role.OWNER)
        user = (await session.scalars(query.where(is_owner))).first()
        assert user is not None
        user.active_organization_id = organization.id
        rights = update(Member).where(Member.user_id == user.id)
        await session.execute(rights.values(all_boards_read=True, all_boards_write=True))
        row = SignIn(
            id=new_id(),
            user_id=user.id,
            secret_hash=hash_token(cookie_secret(user)),
            created_at=at,
            authenticated_at=at,
            last_seen_at=at,
            expires_at=at + timedelta(days=1),
        )
        session.add(row)
    return user


async def list_addresses(transaction: TransactionFactory, organization: Organization) -> list[str]:
    """Return the addresses of pages with imported content of an organization."""
    found = [*PAGES]
    async with transaction() as session:
        of = {"organization_id": organization.id}
        board_ids = [*await session.scalars(select(Board.id).filter_by(**of))]
        for board_id in board_ids:
            found += [f"/boards/{board_id}{page}" for page in BOARD_PAGES]
        tasks = select(Task.id, Task.board_id).where(Task.board_id.in_(board_ids))
        found += [f"/boards/{board}/tasks/{id}" for id, board in await session.execute(tasks)]
        approvals = select(Approval.id).where(Approval.board_id.in_(board_ids))
        found += [f"/approvals/{id}" for id in await session.scalars(approvals)]
        webhooks = select(BoardWebhook.id, BoardWebhook.board_id)
        webhooks = webhooks.where(BoardWebhook.board_id.in_(board_ids))
        found += [f"/boards/{b}/webhooks/{id}" for id, b in await session.execute(webhooks)]
        payloads = select(WebhookPayload).where(WebhookPayload.board_id.in_(board_ids))
        found += [
            f"/boards/{one.board_id}/webhooks/{one.webhook_id}/payloads/{one.id}"
            for one in await session.scalars(payloads)
        ]
        for agent_id in await session.scalars(select(Agent.id).filter_by(**of)):
            found += [f"/agents/{agent_id}{page}" for page in AGENT_PAGES]
        for model, path in OBJECT_PAGES.items():
            ids = await session.scalars(select(model.id).filter_by(**of))
            found += [path.format(id) for id in ids]
    return found


@pytest.mark.parametrize("position", select_options(__name__, [0, 1]))
async def test_all_pages_of_what_was_imported_render(
    client: httpx2.AsyncClient, isolated_transaction: TransactionFactory, position: int
) -> None:
    async with isolated_transaction() as session:
        query = select(Organization).order_by(Organization.created_at)
        if position:
            query = query.where(Organization.name == SECOND_ORGANIZATION)
        organization = (await session.scalars(query)).first()
        assert organization is not None
    user = await sign_in(isolated_transaction, organization)
    client.cookies.set(SESSION_COOKIE, cookie_secret(user))
    addresses = await list_addresses(isolated_transaction, organization)
    statuses = {}
    for address in addresses:
        response = await client.get(address, follow_redirects=True)
        statuses[address] = response.status_code
        assert "Deleted agent or user" not in response.text, f"{address}: nothing was deleted"
    assert {a: s for a, s in statuses.items() if s != 200} == {}


async def test_an_approval_of_the_original_completes_no_task(
    client: httpx2.AsyncClient,
    isolated_transaction: TransactionFactory,
    original: asyncpg.Connection,
) -> None:
    async with isolated_transaction() as session:
        query = (
            select(Task, Board)
            .join(Board, Board.id == Task.board_id)
            .join(Approval, Approval.task_id == Task.id)
            .where(Approval.status == ApprovalStatus.APPROVED)
        )
        task, board = (await session.execute(query)).first() or (None, None)
        assert task is not None
        assert board is not None
        rules = update(Board).where(Board.id == board.id)
        await session.execute(
            rules.values(
                require_approval_for_done=True,
                require_review_before_done=False,
                block_status_changes_with_pending_approval=False,
            )
        )
        opened = update(Task).where(Task.id == task.id)
        await session.execute(opened.values(status=Status.REVIEW, done_at=None))
        kind = update(Approval).where(Approval.task_id == task.id)
        await session.execute(kind.values(action_type="task.complete"))
        rejected = select(Approval).where(
            Approval.board_id == board.id, Approval.status != ApprovalStatus.APPROVED
        )
        for one in await session.scalars(rejected):
            await session.delete(one)
        organization = await session.get_one(Organization, board.organization_id)
    user = await sign_in(isolated_transaction, organization)
    client.cookies.set(SESSION_COOKIE, cookie_secret(user))
    lead = await original.fetchval(
        "select name from agents where board_id = $1 and is_board_lead", board.id
    )
    headers = {"X-Agent-Token": AGENT_TOKENS["Ava"]}
    assert lead is not None
    response = await client.patch(
        f"/api/v1/agent/boards/{board.id}/tasks/{task.id}",
        headers=headers,
        json={"status": "done"},
    )
    assert response.status_code == 409, response.text
    assert response.json()["detail"]["reason"] == "unknown_content"
