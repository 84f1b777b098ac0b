"""What approval policies do with requests and decisions, through the API."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Forbidden
from models import Approval, ApprovalStatus
from services import approvals, policies
from tests.support.api_fixtures import Client
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def path(world: World) -> str:
    return f"/boards/{world.board.id}/approvals"


async def set_policy(alice: Client, world: World, **rule: Any) -> None:
    body = {"rules": [{"name": "The rule", **rule}]}
    stored = await alice.put(f"/boards/{world.board.id}/approval-policy", json=body)
    assert stored.status_code == 200, stored.text


async def request(client: Client, path: str, **fields: Any) -> dict[str, Any]:
    body = {"action_type": "deploy.site", "confidence": 90, "payload": {"reason": "Ready."}}
    made = await client.post(path, json=body | fields)
    assert made.status_code == 200, made.text
    approval: dict[str, Any] = made.json()
    return approval


async def decide(client: Client, path: str, approval: dict[str, Any], status="approved", **more):
    return await client.patch(f"{path}/{approval['id']}", json={"status": status, **more})


@pytest.mark.parametrize(("effect", "status"), [("allow", "approved"), ("deny", "rejected")])
async def test_a_policy_decides_at_once_and_finally(
    alice, worker, path, world, effect, status
) -> None:
    await set_policy(alice, world, effect=effect)
    approval = await request(worker, path)
    assert approval["status"] == status
    assert (approval["decided_by"], approval["policy_rule"]) == ("policy", "The rule")
    assert (approval["decided_by_user_id"], approval["decisions"]) == (None, [])
    for other in ("approved", "rejected"):
        refused = await decide(alice, path, approval, other)
        assert refused.status_code == 409
        assert refused.json()["code"] == "already_decided"


async def test_an_allowed_completion_lets_the_task_be_done(alice, worker, path, world) -> None:
    await alice.patch(f"/boards/{world.board.id}", json={"require_approval_for_done": True})
    await set_policy(alice, world, effect="allow", kinds=["task.complete"])
    task = (await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Ship"})).json()
    task_path = f"/boards/{world.board.id}/tasks/{task['id']}"
    assert (await alice.patch(task_path, json={"status": "done"})).status_code == 409
    await request(worker, path, action_type="task.complete", task_ids=[task["id"]])
    assert (await alice.patch(task_path, json={"status": "done"})).status_code == 200


async def test_agents_do_not_change_tags_that_a_policy_names(alice, lead, world) -> None:
    ids = [
        (await alice.post("/tags", json={"name": name})).json()["id"] for name in ("live", "other")
    ]
    named, other = ids
    await set_policy(alice, world, effect="ask_two", tag_ids=[named])
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Ship", "tag_ids": [named]})).json()
    for tag_ids in ([], [other]):
        refused = await lead.patch(f"/agent{tasks}/{task['id']}", json={"tag_ids": tag_ids})
        assert (refused.status_code, refused.json()["code"]) == (403, "tag_used_by_policy")
    created = await lead.post(f"/agent{tasks}", json={"title": "New", "tag_ids": [named]})
    assert created.json()["code"] == "tag_used_by_policy"
    more = await lead.patch(f"/agent{tasks}/{task['id']}", json={"tag_ids": ids})
    assert more.status_code == 200
    assert (await alice.patch(f"{tasks}/{task['id']}", json={"tag_ids": []})).status_code == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"effect": "ask_two"},
        {"effect": "deny"},
        {"effect": "ask_one", "decider_role": "owner"},
    ],
)
async def test_a_decision_completes_tasks_only_within_the_policy(
    alice, bob, worker, path, world, rule
) -> None:
    await set_policy(alice, world, kinds=["task.complete"], **rule)
    task = (await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Ship"})).json()
    approval = await request(worker, path, task_ids=[task["id"]])
    refused = await decide(bob, path, approval, completes_tasks=True)
    assert (refused.status_code, refused.json()["code"]) == (403, "completion_not_allowed")
    assert (await decide(bob, path, approval)).json()["status"] == "approved"


async def test_the_rule_of_a_request_does_not_allow_to_complete_its_tasks(
    alice, bob, worker, path, world
) -> None:
    rules = [
        {"name": "Deployments", "effect": "ask_one", "kinds": ["deploy.*"]},
        {"name": "Completions", "effect": "deny", "kinds": ["task.complete"]},
    ]
    stored = await alice.put(f"/boards/{world.board.id}/approval-policy", json={"rules": rules})
    assert stored.status_code == 200
    task = (await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Ship"})).json()
    approval = await request(worker, path, task_ids=[task["id"]])
    refused = await decide(bob, path, approval, completes_tasks=True)
    assert (refused.status_code, refused.json()["code"]) == (403, "completion_not_allowed")


async def test_two_different_people_must_approve(alice, bob, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_two")
    approval = await request(worker, path)
    assert approval["required_approvals"] == 2
    first = await decide(alice, path, approval, note="Looks right.")
    assert first.status_code == 200
    assert first.json()["status"] == "pending"
    [decision] = first.json()["decisions"]
    assert (decision["user_id"], decision["note"]) == (str(world.alice.id), "Looks right.")
    again = await decide(alice, path, approval)
    assert (again.status_code, again.json()["status"]) == (200, "pending")
    second = (await decide(bob, path, approval)).json()
    assert second["status"] == "approved"
    assert [one["user_id"] for one in second["decisions"]] == [
        str(world.alice.id),
        str(world.bob.id),
    ]


async def test_one_of_two_people_can_reject(alice, bob, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_two")
    approval = await request(worker, path)
    await decide(alice, path, approval)
    assert (await decide(bob, path, approval, "rejected")).json()["status"] == "rejected"


async def test_nobody_is_the_second_person_for_the_own_request(alice, bob, path, world) -> None:
    await set_policy(alice, world, effect="ask_two")
    approval = await request(alice, path)
    refused = await decide(alice, path, approval)
    assert (refused.status_code, refused.json()["code"]) == (403, "requester_may_not_approve")
    assert (await decide(bob, path, approval)).json()["status"] == "pending"
    assert (await decide(alice, path, approval)).status_code == 403


async def test_both_people_must_approve_the_same_content(alice, bob, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_two")
    task = (await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Ship"})).json()
    approval = await request(worker, path, action_type="task.complete", task_ids=[task["id"]])
    await decide(alice, path, approval)
    task_path = f"/boards/{world.board.id}/tasks/{task['id']}"
    await alice.patch(task_path, json={"title": "Ship everything"})
    changed = await decide(bob, path, approval)
    assert changed.json()["code"] == "approval_content_changed"
    seen = changed.json()["detail"]["action_hash"]
    bound = (await decide(bob, path, approval, action_hash=seen)).json()
    assert bound["status"] == "pending"
    assert [one["user_id"] for one in bound["decisions"]] == [str(world.bob.id)]
    assert (await decide(alice, path, approval, action_hash=seen)).json()["status"] == "approved"


@pytest.mark.parametrize("in_bulk", [True, False])
async def test_what_a_first_person_changed_and_approved_is_not_meant_without_hash(
    alice, bob, worker, path, world, in_bulk
) -> None:
    await set_policy(alice, world, effect="ask_two")
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Pay", "description": "10 EUR to ACME"})).json()
    approval = await request(worker, path, task_ids=[task["id"]])
    await bob.patch(f"{tasks}/{task['id']}", json={"description": "99999 EUR to EVE"})
    changed = (await decide(bob, path, approval)).json()
    seen = changed["detail"]["action_hash"]
    assert (await decide(bob, path, approval, action_hash=seen)).json()["status"] == "pending"

    if in_bulk:
        body = {"ids": [approval["id"]], "status": "approved"}
        [refused] = (await alice.post("/approvals/decisions", json=body)).json()["results"]
        details = refused["details"]
    else:
        refused = (await decide(alice, path, approval)).json()
        details = refused["detail"]
    assert refused["code"] == "approval_content_changed"
    assert details["action_hash"] == details["request"]["body"]["action_hash"] == seen
    assert (await decide(alice, path, approval, action_hash=seen)).json()["status"] == "approved"


async def test_only_the_named_people_decide(alice, bob, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_one", decider_role="admin")
    approval = await request(worker, path)
    refused = await decide(bob, path, approval, "rejected")
    assert (refused.status_code, refused.json()["code"]) == (403, "decider_not_allowed")
    bulk = await bob.post(
        "/approvals/decisions", json={"ids": [approval["id"]], "status": "approved"}
    )
    assert bulk.json()["results"][0]["code"] == "decider_not_allowed"
    assert (await decide(alice, path, approval)).status_code == 200


async def test_an_owner_can_always_reject(alice, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_one", decider_ids=[str(world.bob.id)])
    approval = await request(worker, path)
    refused = await decide(alice, path, approval)
    assert refused.json()["code"] == "decider_not_allowed"
    assert (await decide(alice, path, approval, "rejected")).status_code == 200


async def test_only_deciders_undo_a_decision(
    alice, worker, path, world, transaction: TransactionFactory
) -> None:
    await set_policy(alice, world, effect="ask_one", decider_role="admin")
    approval_id = UUID((await request(worker, path))["id"])
    status = ApprovalStatus.APPROVED
    async with transaction() as session:
        await approvals.decide_with_undo(
            session, world.alice, approval_id, status=status, undo_seconds=60
        )
    async with transaction() as session:
        with pytest.raises(Forbidden):
            await approvals.undo_decision(session, world.bob, approval_id)
    async with transaction() as session:
        undone = await approvals.undo_decision(session, world.alice, approval_id)
        assert undone.is_undecided


async def test_what_a_policy_allows_expires_too(alice, worker, path, world) -> None:
    await set_policy(alice, world, effect="allow", expires_after=3600)
    assert (await request(worker, path))["expires_at"] is not None


async def test_a_first_approval_does_not_count_as_decided(alice, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_two")
    approval = await request(worker, path)
    body = {"ids": [approval["id"]], "status": "approved"}
    bulk = (await alice.post("/approvals/decisions", json=body)).json()
    assert (bulk["decided"], bulk["refused"]) == (0, 0)
    assert bulk["results"][0]["approval"]["status"] == "pending"


async def test_an_expired_request_is_rejected_by_the_policy(
    alice, worker, path, world, transaction: TransactionFactory
) -> None:
    await set_policy(alice, world, effect="ask_one", expires_after=3600)
    approval = await request(worker, path)
    assert approval["expires_at"] is not None
    async with transaction() as session:
        assert await approvals.finalize_due_approvals(session) == 0
        next_at = await approvals.find_next_finalization(session)
        assert next_at is not None
        assert timedelta(minutes=59) < next_at - now() <= timedelta(hours=1)
        past = now() - timedelta(seconds=1)
        await session.execute(update(Approval).values(expires_at=past))
    late = await decide(alice, path, approval)
    assert (late.status_code, late.json()["code"]) == (409, "approval_expired")
    async with transaction() as session:
        assert await approvals.finalize_due_approvals(session) == 1
        assert await approvals.finalize_due_approvals(session) == 0
    [ended] = (await alice.get(path)).json()["items"]
    assert (ended["status"], ended["decided_by"]) == ("rejected", "policy")
    assert "Nobody decided in time" in ended["decision_note"]


async def test_an_approval_is_valid_for_the_time_of_its_request(alice, worker, path, world) -> None:
    await set_policy(alice, world, effect="ask_one", expires_after=3600)
    approval = await request(worker, path)
    approved = (await decide(alice, path, approval)).json()
    assert approved["expires_at"] > approval["expires_at"]


async def test_nothing_is_allowed_if_the_policy_cannot_be_read(
    alice, worker, path, world, monkeypatch
) -> None:
    await set_policy(alice, world, effect="allow")

    async def fail(*_: object) -> None:
        raise RuntimeError("no policy")

    monkeypatch.setattr(policies, "evaluate_request", fail)
    body = {"action_type": "deploy.site", "confidence": 90, "payload": {"reason": "Ready."}}
    assert (await worker.post(path, json=body)).status_code == 500
    monkeypatch.undo()
    assert (await alice.get(path)).json()["items"] == []


async def test_a_token_does_not_decide_what_needs_a_recent_sign_in(
    alice, bob, worker, path, world
) -> None:
    rule = {"effect": "ask_one", "requires_recent_sign_in": True, "decider_role": "admin"}
    await set_policy(alice, world, **rule)
    approval = await request(worker, path)
    assert approval["requires_recent_sign_in"] is True
    for status in ("approved", "rejected"):
        refused = await decide(alice, path, approval, status)
        assert (refused.status_code, refused.json()["code"]) == (403, "recent_sign_in_required")
    assert (await decide(bob, path, approval)).json()["code"] == "decider_not_allowed"
    body = {"ids": [approval["id"]], "status": "approved"}
    bulk = (await alice.post("/approvals/decisions", json=body)).json()
    assert (bulk["refused"], bulk["results"][0]["code"]) == (1, "recent_sign_in_required")
    stored = (await alice.get(f"/boards/{world.board.id}/approval-policy")).json()
    assert stored["rules"][0]["requires_recent_sign_in"] is True


async def test_a_token_does_not_complete_what_needs_a_recent_sign_in(
    alice, worker, path, world
) -> None:
    rule = {"effect": "ask_one", "requires_recent_sign_in": True}
    await set_policy(alice, world, kinds=["task.complete"], **rule)
    task = (await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Ship"})).json()
    approval = await request(worker, path, task_ids=[task["id"]])
    refused = await decide(alice, path, approval, completes_tasks=True)
    assert (refused.status_code, refused.json()["code"]) == (403, "recent_sign_in_required")
    assert (await decide(alice, path, approval)).json()["status"] == "approved"
