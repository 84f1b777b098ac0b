"""Approval policies through the API: rights, versions, and the simulation."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.transactions import try_lock_name
from models import new_id
from services.policies import simulation
from tests.conftest import get_engine
from tests.support.api_fixtures import Client
from tests.support.stored_world import StoredWorld
from tests.support.world import World

ORGANIZATION = "/organizations/me/approval-policy"
RULE: dict[str, Any] = {"name": "Deployments", "effect": "ask_two", "kinds": ["deploy.*"]}


def board_policy(world: World) -> str:
    return f"/boards/{world.board.id}/approval-policy"


async def test_a_policy_is_replaced_as_a_whole(alice: Client, world: World) -> None:
    for path in (ORGANIZATION, board_policy(world)):
        empty = (await alice.get(path)).json()
        assert empty == {"rules": [], "version": 0, "updated_at": None, "updated_by": None}
        stored = await alice.put(path, json={"rules": [RULE, RULE | {"effect": "deny"}]})
        assert stored.status_code == 200, stored.text
        policy = stored.json()
        assert [rule["effect"] for rule in policy["rules"]] == ["ask_two", "deny"]
        assert (policy["version"], policy["updated_by"]) == (1, world.alice.display_name)
        assert (await alice.get(path)).json() == policy
        again = await alice.put(path, json={"rules": policy["rules"]})
        assert again.json()["version"] == 1


async def test_a_concurrent_change_of_a_policy_is_not_overwritten(
    alice: Client, world: World
) -> None:
    first = await alice.put(ORGANIZATION, json={"rules": [RULE]})
    tag = first.headers["ETag"]
    second = await alice.put(ORGANIZATION, json={"rules": []}, headers={"If-Match": tag})
    assert second.status_code == 200
    late = await alice.put(ORGANIZATION, json={"rules": [RULE]}, headers={"If-Match": tag})
    assert late.status_code == 412
    assert (await alice.get(ORGANIZATION)).json()["rules"] == []


async def test_only_admins_change_policies(
    alice: Client, bob: Client, charlie: Client, worker: Client, anonymous: Client, world: World
) -> None:
    path, body = board_policy(world), {"rules": [RULE]}
    for who, status in ((bob, 403), (charlie, 404), (worker, 401), (anonymous, 401)):
        assert (await who.put(path, json=body)).status_code == status
    for who, status in ((bob, 403), (worker, 401), (anonymous, 401)):
        assert (await who.put(ORGANIZATION, json=body)).status_code == status
    assert (await charlie.put(ORGANIZATION, json=body)).status_code == 200  # their own
    assert (await charlie.get(path)).status_code == 404
    assert (await charlie.post(f"{path}/simulations", json=body)).status_code == 404
    assert (await alice.get(ORGANIZATION)).json()["rules"] == []
    assert (await bob.get(path)).status_code == 200


async def test_rules_name_only_what_belongs_to_the_organization(
    alice: Client, charlie: Client, world: World
) -> None:
    for field in ("agent_ids", "tag_ids", "decider_ids"):
        body = {"rules": [RULE, RULE | {field: [str(new_id()), str(new_id())]}]}
        refused = await alice.put(ORGANIZATION, json=body)
        assert refused.status_code == 422
        assert refused.json()["code"] == "reference_unknown"
        assert refused.json()["detail"][0]["loc"] == ["body", f"rules.1.{field}"]
    foreign = {"rules": [RULE | {"agent_ids": [str(world.worker.id)]}]}
    assert (await charlie.put(ORGANIZATION, json=foreign)).status_code == 422
    assert (await alice.put(ORGANIZATION, json=foreign)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"kind": ["deploy.*"]}, ["rules", 0, "kind"]),
        ({"time_window": {"time_zone": "UTC", "start": 60}}, ["rules", 0, "time_window", "start"]),
    ],
)
async def test_a_rule_with_an_unknown_field_is_refused(
    alice: Client, fields: dict[str, object], place: list[object]
) -> None:
    body = {"rules": [RULE | {"effect": "allow"} | fields]}
    for path in (ORGANIZATION, f"{ORGANIZATION}/simulations"):
        sent = alice.put if path == ORGANIZATION else alice.post
        refused = await sent(path, json=body)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", *place]
    assert (await alice.get(ORGANIZATION)).json()["rules"] == []


async def test_the_error_for_many_unknown_fields_is_short(alice: Client) -> None:
    unknown = {f"{number} {'x' * 20_000}": 1 for number in range(50)} | {
        f"field {number}": 1 for number in range(900)
    }
    refused = await alice.put(ORGANIZATION, json={"rules": [RULE | unknown]})
    assert refused.status_code == 422
    assert len(refused.json()["detail"]) == 100
    assert len(refused.content) < 60_000


async def test_conditions_about_tool_calls_are_written_and_read(alice: Client) -> None:
    rule = {
        "name": "Tests",
        "effect": "allow",
        "clients": ["claude"],
        "tools": ["Bash"],
        "actions": ["run", "read"],
        "commands": ["npm test", "npm run *"],
        "paths": ["docs/**"],
        "hosts": ["*.example.com"],
    }
    stored = await alice.put(ORGANIZATION, json={"rules": [rule]})
    assert stored.status_code == 200, stored.text
    [read] = (await alice.get(ORGANIZATION)).json()["rules"]
    assert read | rule == read
    for wrong in ({"programs": ["rm"]}, {"actions": ["fly"]}, {"hosts": ["https://a.example"]}):
        refused = await alice.put(ORGANIZATION, json={"rules": [rule | wrong]})
        assert refused.status_code == 422
        assert next(iter(wrong)) in refused.text


async def test_the_simulation_knows_the_stated_risk(
    alice: Client, worker: Client, world: World
) -> None:
    low = {"risk": "low", "reason": "x" * 5_000}
    for payload in (
        low,
        low | {"destructive": True},
        {"riskLevel": "LOW", "reason": "x"},
        {"reason": "x"},
    ):
        body = {"action_type": "deploy.site", "confidence": 90, "payload": payload}
        asked = await worker.post(f"/agent/boards/{world.board.id}/approvals", json=body)
        assert asked.status_code == 200, asked.text
    harmless = {"name": "Harmless", "effect": "allow", "risk_at_most": "low"}
    path = f"{board_policy(world)}/simulations"
    result = (await alice.post(path, json={"rules": [harmless]})).json()
    assert result["counts"] == {"allow": 2, "ask_one": 2, "ask_two": 0, "deny": 0}


async def test_the_simulation_counts_and_changes_nothing(
    alice: Client, worker: Client, world: World
) -> None:
    for kind in ("deploy.site", "deploy.api", "email.send", "spelling.choice"):
        body = {"action_type": kind, "confidence": 90, "payload": {"reason": "Ready."}}
        asked = await worker.post(f"/agent/boards/{world.board.id}/approvals", json=body)
        assert asked.status_code == 200, asked.text
    deny = {"name": "No messages", "effect": "deny", "kinds": ["email.*"]}
    allow = {"name": "Spelling", "effect": "allow", "kinds": ["spelling.*"]}
    await alice.put(ORGANIZATION, json={"rules": [allow]})
    path = f"{board_policy(world)}/simulations"
    result = (await alice.post(path, json={"rules": [RULE, deny]})).json()
    assert (result["total"], result["available"], result["is_complete"]) == (4, 4, True)
    assert result["counts"] == {"allow": 1, "ask_one": 0, "ask_two": 2, "deny": 1}
    assert [(one["action_type"], one["effect"]) for one in result["examples"]] == [
        ("spelling.choice", "allow"),
        ("email.send", "deny"),
        ("deploy.api", "ask_two"),
        ("deploy.site", "ask_two"),
    ]
    assert (await alice.get(board_policy(world))).json()["rules"] == []
    everywhere = await alice.post(f"{ORGANIZATION}/simulations", json={"rules": []})
    assert everywhere.json()["counts"]["ask_one"] == 4


async def test_a_simulation_says_how_many_requests_it_was_about(
    alice: Client, worker: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("deploy.site", "deploy.api", "email.send"):
        body = {"action_type": kind, "confidence": 90, "payload": {"reason": "Ready."}}
        await worker.post(f"/agent/boards/{world.board.id}/approvals", json=body)
    monkeypatch.setattr(simulation, "CPU_BUDGET", 0)
    monkeypatch.setattr(simulation, "CPU_SLICE", 0)
    deny = {"name": "Nothing", "effect": "deny"}
    for path in (ORGANIZATION, board_policy(world)):
        result = (await alice.post(f"{path}/simulations", json={"rules": [deny]})).json()
        assert (result["total"], result["available"], result["is_complete"]) == (1, 3, False)
        assert result["counts"] == {"allow": 0, "ask_one": 0, "ask_two": 0, "deny": 1}
        assert [one["action_type"] for one in result["examples"]] == ["email.send"]


async def test_a_second_simulation_of_a_user_is_refused(
    alice: Client, bob: Client, world: World, shared_world: StoredWorld
) -> None:
    url = shared_world.settings.sqlalchemy_url
    path, body = f"{board_policy(world)}/simulations", {"rules": [RULE]}
    async with AsyncSession(get_engine(url)) as other_process:
        assert await try_lock_name(other_process, f"policy simulation:{world.alice.id}")
        for address in (path, f"{ORGANIZATION}/simulations"):
            refused = await alice.post(address, json=body)
            assert (refused.status_code, refused.json()["code"]) == (429, "simulation_running")
            assert int(refused.headers["Retry-After"]) > 0
        assert (await bob.post(path, json=body)).status_code == 200
    assert (await alice.post(path, json=body)).status_code == 200
