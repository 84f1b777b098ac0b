"""What tokens of users with a limited scope may do."""

import pytest
from sqlalchemy import update

from api.app import OPERATIONS
from core.db.engine import TransactionFactory
from models import ApiToken, TokenScope
from tests.support.api_fixtures import Client
from tests.support.api_objects import create_api_objects, read_all_rows
from tests.support.world import World

DECIDING = {
    ("POST", "/approvals/decisions"),
    ("PATCH", "/boards/{board_id}/approvals/{approval_id}"),
    ("PUT", "/organizations/me/approval-policy"),
    ("PUT", "/boards/{board_id}/approval-policy"),
    ("POST", "/gateway-requests/{request_id}/answer"),
    ("DELETE", "/agents/{agent_id}/grants/{grant_id}"),
    ("DELETE", "/gateways/{gateway_id}/standing-grants/{grant_id}"),
    ("DELETE", "/tags/{tag_id}"),
    ("POST", "/organizations/me/invites"),
    ("POST", "/organizations/me/invites/{invite_id}/links"),
    ("PATCH", "/organizations/me/members/{member_id}"),
    ("PUT", "/organizations/me/members/{member_id}/access"),
    ("DELETE", "/organizations/me/members/{member_id}"),
    ("POST", "/boards/{board_id}/onboarding/confirm"),
    ("POST", "/gateways/sessions/{session_id}/message"),
}


@pytest.fixture
async def without_decisions(transaction: TransactionFactory, world: World) -> None:
    await limit_tokens(transaction)


async def limit_tokens(transaction: TransactionFactory) -> None:
    """Give the tokens of all users the scope `no_decisions`."""
    async with transaction() as session:
        await session.execute(update(ApiToken).values(scope=TokenScope.NO_DECISIONS))


@pytest.mark.usefixtures("without_decisions")
async def test_a_token_without_decisions_cannot_change_what_is_decided(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    deciding = [one for one in OPERATIONS if one.options.changes_decisions]
    assert {(one.method, one.path) for one in deciding} == DECIDING
    for operation in deciding:
        body = {"ids": [], "status": "approved", "role": "member", "rules": []}
        refused = await alice.request(operation.method, objects.build_path(operation), json=body)
        code = (refused.status_code, refused.json()["code"])
        assert code == (403, "token_scope_insufficient"), operation.path
    async with transaction() as session:
        assert await read_all_rows(session) == before


@pytest.mark.usefixtures("without_decisions")
@pytest.mark.parametrize(
    "name",
    [
        "require_approval_for_done",
        "require_review_before_done",
        "block_status_changes_with_pending_approval",
    ],
)
async def test_a_token_without_decisions_keeps_the_rules_for_done(
    alice: Client, world: World, name: str
) -> None:
    path = f"/boards/{world.board.id}"
    board = (await alice.get(path)).json()
    refused = await alice.patch(path, json={"name": "Nest", name: not board[name]})
    assert (refused.status_code, refused.json()["code"]) == (403, "token_scope_insufficient")
    assert (await alice.get(path)).json() == board
    assert (await alice.patch(path, json={"name": "Nest", name: board[name]})).status_code == 200


async def test_a_token_without_decisions_keeps_the_tags_that_a_policy_names(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    named, other = [
        (await alice.post("/tags", json={"name": name})).json()["id"] for name in ("live", "other")
    ]
    rule = {"name": "Live", "effect": "ask_two", "tag_ids": [named]}
    await alice.put(f"/boards/{world.board.id}/approval-policy", json={"rules": [rule]})
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Ship", "tag_ids": [named]})).json()
    path = f"{tasks}/{task['id']}"
    await limit_tokens(transaction)
    for refused in (
        await alice.patch(path, json={"tag_ids": []}),
        await alice.patch(path, json={"tag_ids": [other]}),
        await alice.post(tasks, json={"title": "New", "tag_ids": [named]}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "token_scope_insufficient")
    assert (await alice.patch(path, json={"tag_ids": None})).status_code == 200  # as if not sent
    assert (await alice.get(path)).json()["tag_ids"] == [named]
    assert (await alice.patch(path, json={"tag_ids": [named, other]})).status_code == 200
    assert (await alice.post(tasks, json={"title": "New", "tag_ids": [other]})).status_code == 200


@pytest.mark.usefixtures("without_decisions")
async def test_a_token_without_decisions_does_everything_else(alice: Client, world: World) -> None:
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Ship"})).json()
    comment = await alice.post(f"{tasks}/{task['id']}/comments", json={"message": "Soon."})
    request = {"action_type": "deploy.site", "confidence": 90, "payload": {"reason": "Ready."}}
    asked = await alice.post(f"/boards/{world.board.id}/approvals", json=request)
    assert (comment.status_code, asked.status_code) == (200, 200)
    assert asked.json()["status"] == "pending"
