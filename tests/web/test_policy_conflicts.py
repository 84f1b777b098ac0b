"""Edits of policy rules that somebody else has changed."""

import pytest

from core.db.engine import TransactionFactory
from models import PolicyEffect
from tests.support.people_rows import make_board_access
from tests.support.shown_forms import form_of
from tests.support.world import World
from tests.web.test_policies import add_rule, load_rules, path

__all__ = ["path"]


@pytest.fixture(autouse=True)
async def _dana_may_change_the_board(transaction: TransactionFactory, world: World) -> None:
    async with transaction() as session:
        session.add(make_board_access(world.dana_member, world.board, can_write=True))


async def open_rule(client, path: str, transaction: TransactionFactory) -> tuple[str, dict]:
    """Return the address of the first rule, and the form that its page shows."""
    [first, *_others] = await load_rules(transaction)
    at = f"{path}/rules/{first.id}"
    form = form_of((await client.get(at)).text, "effect")
    return at, form | {"name": first.name, "effect": first.effect, "decider_role": "member"}


async def test_changes_of_other_rules_do_not_conflict(alice, dana, path, transaction) -> None:
    await add_rule(alice, path)
    at, form = await open_rule(alice, path, transaction)
    await add_rule(dana, path, name="Messages", effect="deny")

    assert (await alice.post(at, data=form | {"name": "Releases"})).status_code == 303

    rules = await load_rules(transaction)
    assert [rule.name for rule in rules] == ["Releases", "Messages"]


async def test_a_rule_that_others_have_changed_shows_both_versions(
    alice, dana, path, transaction, world
) -> None:
    await add_rule(alice, path, kinds="deploy.*")
    at, form = await open_rule(alice, path, transaction)
    theirs = {
        "name": "Deployments",
        "effect": "allow",
        "kinds": "deploy.*\nrelease.*",
        "agent_ids": str(world.worker.id),
        "starts_at": "22:00",
        "ends_at": "06:00",
        "time_zone": "Europe/Vienna",
        "expires_after": "14400",
        "requires_recent_sign_in": "true",
    }
    assert (await dana.post(at, data=theirs)).status_code == 303

    conflict = await alice.post(at, data=form | {"name": "Mine", "kinds": "deploy.site"})

    assert conflict.status_code == 409
    assert "Changed by Dana" in conflict.text
    for text in (
        "release.*",
        "Allow",
        "Every day from 22:00 to 06:00 (Europe/Vienna)",
        "4 hours",
        "Recent sign-in required",
        world.worker.name,
    ):
        assert text in conflict.text
    [unchanged] = await load_rules(transaction)
    assert (unchanged.name, unchanged.effect) == ("Deployments", PolicyEffect.ALLOW)
    choices = {"effect": "mine", "agent_ids": "current", "time_window": "current"}
    choices["requires_recent_sign_in"] = "current"
    merged = form_of(conflict.text, "effect") | {"kinds": "deploy.*"}
    merged |= {f"keep.{name}": kept for name, kept in choices.items()}
    assert (await alice.post(at, data=merged)).status_code == 303
    [rule] = await load_rules(transaction)
    assert (rule.name, rule.effect, rule.kinds) == ("Mine", PolicyEffect.ASK_TWO, ("deploy.*",))
    assert (rule.agent_ids, rule.expires_after) == ((world.worker.id,), None)
    assert rule.requires_recent_sign_in
    assert rule.time_window
    assert rule.time_window.time_zone == "Europe/Vienna"


async def test_parts_of_two_versions_that_do_not_fit_are_rejected(
    alice, dana, path, transaction
) -> None:
    await add_rule(alice, path)
    at, form = await open_rule(alice, path, transaction)
    theirs = {"name": "Deployments", "effect": "ask_two", "risk_at_most": "low"}
    assert (await dana.post(at, data=theirs)).status_code == 303

    conflict = await alice.post(at, data=form | {"risk_at_least": "high", "risk_at_most": ""})
    choice = form_of(conflict.text, "risk_at_most") | {"keep.risk_at_most": "current"}
    refused = await alice.post(at, data=choice)

    assert refused.status_code == 422
    assert "must not be lower" in refused.text
    again = form_of(refused.text, "risk_at_most") | form | {"risk_at_least": "high"}
    again |= {name: text for name, text in form_of(refused.text, "name").items() if "." in name}
    assert (await alice.post(at, data=again)).status_code == 303
    [rule] = await load_rules(transaction)
    assert (rule.risk_at_least, rule.risk_at_most) == ("high", None)


async def test_a_rule_that_was_deleted_keeps_what_was_typed(alice, dana, path, transaction) -> None:
    await add_rule(alice, path)
    at, form = await open_rule(alice, path, transaction)
    assert (await dana.post(f"{at}/deletions", data={"version": "1"})).status_code == 303
    gone = await alice.post(at, data=form | {"kinds": "long.list.of.kinds"})
    assert gone.status_code == 404
    assert "This rule does not exist any more." in gone.text
    assert "long.list.of.kinds" in gone.text
