"""People whom a policy does not let decide an approval: what pages offer and tell them."""

import re
from typing import Any

import pytest
from httpx2 import AsyncClient

from models import Approval, PolicyEffect, PolicyVerdict, Role
from tests.support.approval_pages import HTMX, approving, ask, checkbox
from tests.support.task_pages import IN_DRAWER
from web.approvals.presenter import DecisionRights

__all__ = ["ask"]


def make_verdict(**fields: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"effect": PolicyEffect.ASK_ONE, "rule_name": "Careful"}
    return {"policy_verdict": PolicyVerdict(**(defaults | fields))}


async def get_pages(client: AsyncClient, approval: Approval) -> list[str]:
    """Return all that shows an approval in full: inbox, own page, task, and drawer of the board."""
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}"
    paths = ["/approvals", f"/approvals/{approval.id}", task]
    responses = [await client.get(path) for path in paths]
    return [one.text for one in [*responses, await client.get(task, headers=IN_DRAWER)]]


def list_offered(page: str) -> set[str]:
    return set(re.findall(r'name="status" value="(approved|rejected)"', page))


async def test_people_whom_a_role_excludes_are_not_offered_to_decide(alice, bob, ask) -> None:
    approval = await ask("First", **make_verdict(decider_role=Role.ADMIN))
    for page in await get_pages(bob, approval):
        assert "Only admins and owners may decide." in page
        assert list_offered(page) == set()
        assert not re.search(r'data-key="[ar]"', page)
        assert "data-pick " not in page
    for page in await get_pages(alice, approval):
        assert list_offered(page) == {"approved", "rejected"}
    assert 'data-key="q"' in (await bob.get(f"/approvals/{approval.id}")).text


async def test_named_deciders_are_listed_and_an_owner_can_only_reject(
    alice, bob, ask, world
) -> None:
    approval = await ask("First", **make_verdict(decider_ids=(world.bob.id, world.charlie.id)))
    for page in await get_pages(alice, approval):
        assert "Only Bob may decide. As an owner, you can reject it." in page
        assert list_offered(page) == {"rejected"}
    for page in await get_pages(bob, approval):
        assert list_offered(page) == {"approved", "rejected"}
    assert "data-pick " not in (await alice.get("/approvals")).text


async def test_a_rule_that_names_only_people_who_left_says_so(bob, ask, world) -> None:
    approval = await ask("First", **make_verdict(decider_ids=(world.charlie.id,)))
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "Nobody named in the rule can decide now. An owner can reject it." in page


async def test_bulk_selection_offers_only_what_the_viewer_may_decide(bob, ask) -> None:
    mine, others = await ask("Mine"), await ask("Others", **make_verdict(decider_role=Role.OWNER))
    page = (await bob.get("/approvals")).text
    assert re.findall(r'name="shown" value="([^"]*)"', page) == [checkbox(mine)]
    assert f'id="approval-{others.id}"' in page


@pytest.mark.parametrize("view", ["board", "list"])
async def test_a_card_says_whose_answer_its_task_needs(alice, bob, ask, world, view) -> None:
    await ask("First", **make_verdict(decider_role=Role.ADMIN))
    path = f"/boards/{world.board.id}?view={view}"
    [mine, others] = [(await client.get(path)).text for client in (alice, bob)]
    assert ("Waits for an approval" in mine, "Waits for an approval" in others) == (False, True)
    assert [len(re.findall(r'class="flag".*?Needs you', one)) for one in (mine, others)] == [1, 0]


async def test_a_requester_is_not_offered_the_approval_that_needs_two_others(
    alice, bob, ask, world
) -> None:
    two = make_verdict(effect=PolicyEffect.ASK_TWO)
    approval = await ask("First", requested_by_user_id=world.bob.id, **two)
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "You made this request, so two other people must approve it." in page
    assert list_offered(page) == {"rejected"}
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert list_offered(page) == {"approved", "rejected"}


async def test_a_decision_is_undone_only_by_people_who_may_decide(alice, bob, ask) -> None:
    approval = await ask("First", **make_verdict(decider_role=Role.ADMIN))
    at = f"/approvals/{approval.id}"
    await alice.post(f"{at}/answers", data=approving(approval), headers=HTMX)
    for client, is_offered in ((alice, True), (bob, False)):
        assert (f'action="{at}/undoings' in (await client.get(at)).text) is is_offered
    assert (await bob.post(f"{at}/undoings", headers=HTMX)).status_code == 403


@pytest.mark.parametrize("path", ["", "/tasks"])
async def test_the_first_of_two_people_can_undo_without_scripts(
    alice, bob, ask, path, world
) -> None:
    approval = await ask("First", **make_verdict(effect=PolicyEffect.ASK_TWO))
    at = f"/approvals/{approval.id}"
    page_path = f"/boards/{world.board.id}/tasks/{approval.task_id}" if path else at
    form = f'<form method="post" action="{at}/undoings'
    assert form not in (await alice.get(page_path)).text
    answered = await alice.post(f"{at}/answers", data=approving(approval))
    assert f'action="{at}/undoings"' in (await alice.get(answered.headers["Location"])).text

    page = (await alice.get(page_path)).text
    assert form in page
    assert "You approved this. One more person must approve it." in page
    assert list_offered(page) == {"rejected"}
    other = (await bob.get(page_path)).text
    assert form not in other
    assert list_offered(other) == {"approved", "rejected"}

    assert (await alice.post(f"{at}/undoings")).headers["Location"] == at
    page = (await alice.get(page_path)).text
    assert form not in page
    assert list_offered(page) == {"approved", "rejected"}


async def test_a_decision_of_two_people_names_both(alice, bob, rita, ask) -> None:
    approval = await ask("First", **make_verdict(effect=PolicyEffect.ASK_TWO))
    at = f"/approvals/{approval.id}"
    for client, note in ((alice, "Checked the plan"), (bob, "Checked the costs")):
        await client.post(f"{at}/answers", data=approving(approval) | {"note": note})

    for client, first, second in (
        (alice, "<b>You</b> approved", "<b>Bob approved</b>"),
        (bob, "<b>Alice</b> approved", "<b>You approved</b>"),
        (rita, "<b>Alice</b> approved", "<b>Bob approved</b>"),
    ):
        for page in (await get_pages(client, approval))[1:3]:
            assert page.index(first) != page.index(second)
            assert "Note: “Checked the plan”" in page


async def test_a_first_approval_of_other_content_is_not_counted(alice, ask) -> None:
    approval = await ask("First", **make_verdict(effect=PolicyEffect.ASK_TWO))
    at = f"/approvals/{approval.id}"
    await alice.post(f"{at}/answers", data=approving(approval))
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}/changes"
    await alice.post(task, data={"description": "Other"})
    page = (await alice.get(at)).text
    assert "has changed since, so two people must approve again." in page
    assert list_offered(page) == {"approved", "rejected"}


def test_many_deciders_are_cut_in_the_sentence() -> None:
    def phrase(*names: str) -> str:
        return DecisionRights(True, True, (), False, False, names).named_deciders

    assert phrase() == ""
    assert phrase("A") == "A"
    assert phrase("A", "B", "C") == "A, B and C"
    assert phrase(*"ABCDEF") == "A, B, C, D and 2 others"
