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
    ("DELETE", "/gateways/{gateway_id}/standing-grants/{grant_id}"),
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
    """The tokens of all users have the scope `no_decisions`."""
    async with transaction() as session:
        await session.execute(update(ApiToken).values(scope=TokenScope.NO_DECISIONS))


@pytest.mark.usefixtures("without_decisions")
async def test_a_token_without_decisions_cannot_change_what_is_decided(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    deciding = [one for one in OPERATIONS if one.changes_decisions]
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


@pytest.mark.usefixtures("without_decisions")
async def test_a_token_without_decisions_does_everything_else(alice: Client, world: World) -> None:
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Ship"})).json()
    comment = await alice.post(f"{tasks}/{task['id']}/comments", json={"message": "Soon."})
    request = {"action_type": "deploy.site", "confidence": 90, "payload": {"reason": "Ready."}}
    asked = await alice.post(f"/boards/{world.board.id}/approvals", json=request)
    assert (comment.status_code, asked.status_code) == (200, 200)
    assert asked.json()["status"] == "pending"
