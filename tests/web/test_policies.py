"""Pages of approval policies."""

from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.db.transactions import try_lock_name
from core.errors import TooMany
from models import Agent, ApprovalPolicy, PolicyEffect, PolicyRule, ToolAction
from services import approvals, boards
from services.approvals import ApprovalCreate
from services.policies import Proposal, simulation
from tests.conftest import get_engine
from tests.support.approval_helpers import add_approval
from tests.support.approval_pages import approving
from tests.support.world import World
from tests.web.test_board_page import HTMX
from web.policies import build_proposal_path

ORGANIZATION = "/settings/policy"


@pytest.fixture(params=["organization", "board"])
def path(request: pytest.FixtureRequest, world: World) -> str:
    return ORGANIZATION if request.param == "organization" else f"/boards/{world.board.id}/policy"


async def load_rules(transaction: TransactionFactory) -> list[PolicyRule]:
    async with transaction() as session:
        return [
            rule for rules in await session.scalars(select(ApprovalPolicy.rules)) for rule in rules
        ]


async def add_rule(client, path: str, **fields: Any) -> None:
    form = {"name": "Deployments", "effect": "ask_two"} | fields
    saved = await client.post(f"{path}/rules", data=form)
    assert (saved.status_code, saved.headers.get("Location")) == (303, path), saved.text


async def test_a_rule_is_added_changed_moved_switched_and_deleted(
    alice, path, transaction, world
) -> None:
    assert "No rules yet" in (await alice.get(path)).text
    await add_rule(
        alice,
        path,
        kinds="deploy.*\n release.site",
        agent_ids=str(world.worker.id),
        starts_at="22:00",
        ends_at="06:00",
        weekdays=["0", "4"],
        time_zone="Europe/Vienna",
        expires_after="14400",
        decider_role="admin",
    )
    await add_rule(alice, path, name="Messages", effect="deny", kinds="email.*")
    first, second = await load_rules(transaction)
    assert first.kinds == ("deploy.*", "release.site")
    shown = (await alice.get(path)).text
    for text in (
        "Kind: deploy.*, release.site",
        f"Agent: {world.worker.name}",
        "Time: Mon, Fri from 22:00 to 06:00 (Europe/Vienna)",
        "Rejected automatically after 4 hours",
        "Decided by: Admins and owners",
    ):
        assert text in shown

    at = f"{path}/rules/{first.id}"
    form = (await alice.get(at)).text
    assert "deploy.*\nrelease.site" in form
    assert 'value="22:00"' in form
    edit = {"name": "Releases", "effect": "ask_one"}
    assert (await alice.post(at, data=edit)).status_code == 303
    assert (await alice.post(f"{at}/moves", data={"version": "3", "to": "down"})).status_code == 303
    off = {"version": "4", "to": "off"}
    assert (await alice.post(f"{at}/switches", data=off)).status_code == 303
    assert (await alice.post(at, data=edit)).status_code == 303  # does not switch it on again
    rules = await load_rules(transaction)
    assert [(rule.name, rule.is_enabled) for rule in rules] == [
        ("Messages", True),
        ("Releases", False),
    ]
    assert rules[1].id == first.id
    gone = await alice.post(f"{path}/rules/{second.id}/deletions", data={"version": "5"})
    assert gone.status_code == 303
    assert [rule.name for rule in await load_rules(transaction)] == ["Releases"]


async def test_a_time_without_an_end_lasts_until_midnight(alice, path, transaction) -> None:
    await add_rule(alice, path, starts_at="10:00", weekdays=["0"], time_zone="Europe/Vienna")
    assert "Time: Mon from 10:00 (Europe/Vienna)" in (await alice.get(path)).text
    [rule] = await load_rules(transaction)
    form = (await alice.get(f"{path}/rules/{rule.id}")).text
    assert 'name="starts_at" type="time" value="10:00"' in form
    assert 'name="ends_at" type="time" value=""' in form


async def test_saving_a_rule_keeps_what_was_deleted_since(alice, path, world, transaction) -> None:
    await add_rule(alice, path, agent_ids=str(world.worker.id), effect="allow")
    async with transaction() as session:
        await session.execute(delete(Agent).where(Agent.id == world.worker.id))
    [rule] = await load_rules(transaction)
    page = (await alice.get(f"{path}/rules/{rule.id}")).text
    assert f'name="agent_ids" value="{world.worker.id}"' in page
    form = {"name": "Renamed", "effect": "allow"}
    kept = form | {"agent_ids": str(world.worker.id)}
    assert (await alice.post(f"{path}/rules/{rule.id}", data=kept)).status_code == 303
    await add_rule(alice, path, name="Another")
    rules = await load_rules(transaction)
    assert [one.name for one in rules] == ["Renamed", "Another"]
    assert rules[0].agent_ids == (world.worker.id,)


async def test_a_preset_replaces_the_rules(alice, path, transaction) -> None:
    await add_rule(alice, path)
    done = await alice.post(f"{path}/presets", data={"version": "1", "preset": "two_people"})
    assert done.status_code == 303
    assert [rule.effect for rule in await load_rules(transaction)] == [PolicyEffect.ASK_TWO] * 2
    unknown = await alice.post(f"{path}/presets", data={"version": "2", "preset": "chaos"})
    assert unknown.status_code == 404


async def test_conditions_about_tool_calls_are_kept_by_the_form(alice, path, transaction) -> None:
    await add_rule(
        alice,
        path,
        clients=["claude", "codex"],
        actions=["network", "git_push"],
        commands="npm test\n npm run *\n",
        paths="docs/**",
        hosts="*.Example.com",
    )
    [rule] = await load_rules(transaction)
    assert (rule.commands, rule.hosts) == (("npm test", "npm run *"), ("*.example.com",))
    shown = (await alice.get(path)).text
    assert "Client: Claude Code, Codex" in shown
    assert "Does: Use the network, git push" in shown
    form = (await alice.get(f"{path}/rules/{rule.id}")).text
    assert "Reported by the client" in form
    assert "npm test\nnpm run *" in form
    for text in ('value="codex" checked', 'value="git_push" checked', "*.example.com"):
        assert text in form
    wrong = {"name": "Wrong", "effect": "allow", "commands": "git 'x", "hosts": "a b"}
    refused = await alice.post(f"{path}/rules", data=wrong)
    assert refused.status_code == 422
    assert "Close all quotes" in refused.text


async def test_a_preset_for_coding_agents_is_added(alice, path, transaction) -> None:
    await add_rule(alice, path, kinds="deploy.*")
    for version, preset in (("1", "tools_all"), ("2", "tools_risky")):
        form = {"version": version, "preset": preset}
        assert (await alice.post(f"{path}/presets", data=form)).status_code == 303
    effects = [rule.effect for rule in await load_rules(transaction)]
    assert effects == [PolicyEffect.ASK_TWO, PolicyEffect.ASK_ONE, PolicyEffect.ALLOW]


async def test_a_proposed_rule_fills_the_form_and_keeps_its_place(alice, path, transaction) -> None:
    await add_rule(alice, path, name="Everything", effect="ask_one", tools="*")
    [ask] = await load_rules(transaction)
    proposal = Proposal(
        PolicyRule(
            id=ask.id,
            name="npm test",
            effect=PolicyEffect.ALLOW,
            commands=("npm test", "cat 'a b'"),
            actions=(ToolAction.RUN, ToolAction.READ),
        ),
        31,
        31,
        ask,
    )
    form = (await alice.get(build_proposal_path(path, proposal))).text
    assert "npm test\ncat &#39;a b&#39;" in form
    assert f'name="before" value="{ask.id}"' in form
    for text in ('value="allow" checked', 'value="run" checked', 'value="npm test"'):
        assert text in form
    await add_rule(
        alice, path, name="npm test", effect="allow", commands="npm test", before=str(ask.id)
    )
    assert [rule.name for rule in await load_rules(transaction)] == ["npm test", "Everything"]


async def test_an_old_page_does_not_overwrite_a_newer_policy(alice, path, transaction) -> None:
    await add_rule(alice, path)
    [rule] = await load_rules(transaction)
    at = f"{path}/rules/{rule.id}"
    for address, form in (
        (f"{path}/presets", {"preset": "trust"}),
        (f"{at}/moves", {"to": "down"}),
        (f"{at}/switches", {"to": "off"}),
        (f"{at}/deletions", {}),
    ):
        refused = await alice.post(address, data={"version": "0", **form})
        assert refused.status_code == 409
        assert "Somebody else changed the policy" in refused.text
        assert 'name="version" value="1"' in refused.text  # a second try is possible
    assert await load_rules(transaction) == [rule]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "Enter a name."),
        ({"kinds": "a*b"}, "A kind is a name such as deploy.site"),
        ({"starts_at": "25:00"}, "Write a time like 14:30."),
        ({"starts_at": "10:00", "time_zone": "Mars"}, "This is not a time zone"),
        ({"risk_at_least": "high", "risk_at_most": "low"}, "must not be lower"),
        ({"confidence_below": "120"}, "Confidence must be more than 0"),
        ({"confidence_below": "many"}, "Confidence must be more than 0"),
        ({"expires_after": "5"}, "Requests can expire after"),
    ],
)
async def test_an_invalid_rule_keeps_what_was_typed(alice, transaction, fields, message) -> None:
    form = {"name": "Nightly", "effect": "deny"} | fields
    refused = await alice.post(f"{ORGANIZATION}/rules", data=form)
    assert refused.status_code == 422
    assert 'class="err"' in refused.text
    assert message in refused.text
    assert all(value.strip() in refused.text for value in fields.values())
    assert await load_rules(transaction) == []


async def test_all_invalid_fields_of_a_rule_are_reported(alice) -> None:
    wrong = {"name": " ", "effect": "deny", "starts_at": "25:00"}
    refused = await alice.post(f"{ORGANIZATION}/rules", data=wrong)
    assert "Enter a name." in refused.text
    assert "Write a time like 14:30." in refused.text


async def test_a_rule_can_be_tried_without_saving(alice, path, transaction) -> None:
    form = {"name": "Nightly", "effect": "deny", "action": "try"}
    tried = await alice.post(f"{path}/rules", data=form)
    assert tried.status_code == 200
    assert "Result with this rule" in tried.text
    assert 'value="Nightly"' in tried.text
    assert await load_rules(transaction) == []
    assert "in the last 30 days" in (await alice.get(f"{path}?try=1")).text


async def test_a_second_simulation_of_a_user_is_refused_with_a_text(
    alice, path, world, shared_world
) -> None:
    form = {"name": "Nightly", "effect": "deny", "action": "try"}
    url = shared_world.settings.sqlalchemy_url
    async with AsyncSession(get_engine(url)) as other_process:
        assert await try_lock_name(other_process, f"policy simulation:{world.alice.id}")
        for refused in (
            await alice.get(f"{path}?try=1"),
            await alice.post(f"{path}/rules", data=form),
        ):
            assert refused.status_code == 429
            assert "Another simulation of yours is still running" in refused.text
        assert 'value="Nightly"' in refused.text
    assert (await alice.get(f"{path}?try=1")).status_code == 200


async def test_a_simulation_of_the_newest_requests_says_so(
    alice, path, world, transaction, monkeypatch
) -> None:
    async with transaction() as session:
        for _ in range(3):
            await add_approval(session, world)
    assert "3 requests in the last 30 days" in (await alice.get(f"{path}?try=1")).text
    monkeypatch.setattr(simulation, "CPU_BUDGET", 0)
    monkeypatch.setattr(simulation, "CPU_SLICE", 0)
    shown = (await alice.get(f"{path}?try=1")).text
    assert "Only the newest 1 of 3 requests in the last 30 days were simulated" in shown


async def test_only_admins_see_and_change_policies(alice, bob, charlie, path, transaction) -> None:
    await add_rule(alice, path)
    [rule] = await load_rules(transaction)
    at = f"{path}/rules/{rule.id}"
    assert (await bob.get(path)).status_code == 403
    assert (await bob.get(at)).status_code == 403
    for address in (f"{path}/rules", at, f"{at}/deletions", f"{path}/presets"):
        form = {"version": "1", "name": "Mine", "effect": "allow", "preset": "trust"}
        assert (await bob.post(address, data=form)).status_code == 403, address
        if address != f"{ORGANIZATION}/rules":  # there he adds one to his own organization
            assert (await charlie.post(address, data=form)).status_code in (404, 409), address
    assert (await charlie.get(at)).status_code == 404
    assert await load_rules(transaction) == [rule]


async def test_an_approval_page_shows_the_policy_and_the_first_approval(
    alice, bob, world, transaction
) -> None:
    path = f"/boards/{world.board.id}/policy"
    await add_rule(alice, path, name="Four eyes", expires_after="3600")
    draft = ApprovalCreate(action_type="deploy.site", confidence=90, lead_reasoning="Ready.")
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        board = await boards.lock_board(session, worker, world.board.id)
        detail = await approvals.request_approval(session, worker, board, draft)
    at = f"/approvals/{detail.approval.id}"
    page = (await alice.get(at)).text
    assert "Policy “Four eyes”:" in page
    assert "two people must approve." in page
    assert "Without a decision, it is rejected" in page
    decided = await alice.post(f"{at}/answers", data=approving(detail.approval), headers=HTMX)
    assert "One more person must approve it." in decided.text
    page = (await bob.get(at)).text
    assert "<b>Alice</b> approved" in page
    undone = await alice.post(f"{at}/undoings", headers=HTMX)
    assert undone.status_code == 200
    assert "<b>Alice</b> approved" not in (await bob.get(at)).text
    await alice.post(f"{at}/answers", data=approving(detail.approval))
    await bob.post(f"{at}/answers", data=approving(detail.approval))
    assert "Bob approved" in (await alice.get(at)).text


async def test_an_agent_that_asks_too_often_is_named_in_the_inbox(
    alice, charlie, world, transaction
) -> None:
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        board = await boards.lock_board(session, worker, world.board.id)
        for number in range(approvals.MAX_PENDING):
            draft = ApprovalCreate(
                action_type=f"step.{number}", confidence=90, lead_reasoning="Ready."
            )
            await approvals.request_approval(session, worker, board, draft)
        draft = ApprovalCreate(action_type="one.more", confidence=90, lead_reasoning="Ready.")
        with pytest.raises(TooMany):
            await approvals.request_approval(session, worker, board, draft)
    assert "requests too many approvals on" in (await alice.get("/approvals")).text
    assert "requests too many approvals on" not in (await charlie.get("/approvals")).text
