"""The first of two approvals: for whom the approval waits afterwards."""

import re
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient

from models import Approval, PolicyEffect, PolicyVerdict
from tests.support.approval_pages import HTMX, approving, ask, selected

__all__ = ["ask"]

STATE = "You approved this. One more person must approve it."


@pytest.fixture
def approve_first(alice: AsyncClient, ask) -> Callable[..., Awaitable[Approval]]:
    """Ask a question that two people must approve; Alice is the first one."""

    async def approve(title: str = "First") -> Approval:
        verdict = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Careful")
        approval: Approval = await ask(title, policy_verdict=verdict)
        path = f"/approvals/{approval.id}/answers"
        await alice.post(path, data=approving(approval), headers=HTMX)
        return approval

    return approve


def find_lamp(page: str) -> str:
    """Return the only highlighted count of a part of a page; it may be shown twice."""
    found = set(re.findall(r'class="lamp" data-n="(\d+)"', page)) or {"0"}
    assert len(found) == 1
    return found.pop()


async def list_counts(client: AsyncClient) -> list[str]:
    """Return the numbers of waiting items: sidebar, inbox, boards page, and dashboard."""
    rail = (await client.get("/rail")).text
    inbox = (await client.get("/approvals")).text
    boards = (await client.get("/boards")).text
    panel = (await client.get("/dashboard/approvals")).text
    return [
        re.findall(r'data-needs="(\d+)"', rail)[0],
        re.findall(r'id="needs-count">(\d+)<', inbox)[0],
        re.findall(r'id="waiting-count">(\d+)<', inbox)[0],
        find_lamp(boards[boards.index("<main") :]),
        find_lamp(panel),
    ]


def list_rows(page: str) -> dict[str, list[str]]:
    """Return the titles that the inbox lists, by whether they wait for others."""
    own, _, others = page.partition('class="inbox__sec">Waiting for others<')
    pattern = r'class="ask-row__q">.*?Complete the task “(.*?)”'
    return {"own": re.findall(pattern, own), "others": re.findall(pattern, others)}


async def test_an_approval_waits_no_longer_for_its_first_approver(
    alice, bob, approve_first
) -> None:
    await approve_first()
    assert await list_counts(alice) == ["0"] * 5
    assert await list_counts(bob) == ["1"] * 5
    page = (await alice.get("/approvals")).text
    assert list_rows(page) == {"own": [], "others": ["First"]}
    assert STATE in page
    page = (await bob.get("/approvals")).text
    assert list_rows(page) == {"own": ["First"], "others": []}
    assert STATE not in page


async def test_the_toast_of_a_first_approval_names_it(alice, ask) -> None:
    await ask("Next")
    verdict = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Careful")
    approval = await ask("First", policy_verdict=verdict)
    path = f"/approvals/{approval.id}/answers"
    page = (await alice.post(path, data=approving(approval), headers=HTMX)).text
    assert selected(page) == "Next?"
    words = "You approved: Complete the task “First”? One more person must approve it."
    assert words in page.split("data-toast")[1]


async def test_a_changed_approval_waits_again_for_its_first_approver(
    alice, bob, approve_first
) -> None:
    approval = await approve_first()
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}/changes"
    await bob.post(task, data={"description": "Other"})
    assert await list_counts(alice) == ["1"] * 5
    page = (await alice.get("/approvals")).text
    assert list_rows(page) == {"own": ["First"], "others": []}
    assert STATE not in page


async def find_to_approve(client: AsyncClient, approval: Approval) -> tuple[str, bool]:
    """Return the number on the filter of a board, and whether the filter shows the task."""
    page = (await client.get(f"/boards/{approval.board_id}?needs=1")).text
    [count] = re.findall(r"Needs you <b>(\d+)</b>", page)
    return count, f'id="task-{approval.task_id}"' in page


async def test_the_filter_of_a_board_leaves_out_what_the_member_approved_first(
    alice, bob, approve_first
) -> None:
    approval = await approve_first()
    assert await find_to_approve(alice, approval) == ("0", False)
    assert await find_to_approve(bob, approval) == ("1", True)
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}/changes"
    await bob.post(task, data={"description": "Other"})
    assert await find_to_approve(alice, approval) == ("1", True)


async def test_the_filter_of_a_board_that_one_may_only_read_shows_no_task(alice, rita, ask) -> None:
    approval = await ask("First")
    assert await find_to_approve(alice, approval) == ("1", True)
    assert await find_to_approve(rita, approval) == ("0", False)


async def test_an_approval_of_another_action_waits_again(alice, approve_first, transaction) -> None:
    approval = await approve_first()
    async with transaction() as session:
        (await session.get_one(Approval, approval.id)).action_hash = "0" * 64
    assert await list_counts(alice) == ["1"] * 5


async def test_an_undone_first_approval_waits_again(alice, approve_first) -> None:
    approval = await approve_first()
    await alice.post(f"/approvals/{approval.id}/undoings", headers=HTMX)
    assert await list_counts(alice) == ["1"] * 5


async def test_the_first_of_two_people_undoes_both_approvals(
    alice, bob, approve_first, transaction, world
) -> None:
    approval = await approve_first()
    path = f"/approvals/{approval.id}"
    await bob.post(f"{path}/answers", data=approving(approval), headers=HTMX)
    undone = await alice.post(f"{path}/undoings", headers=HTMX)
    assert "Undone. Pending again." in undone.text
    assert STATE not in undone.text
    await bob.post(f"{path}/answers", data=approving(approval), headers=HTMX)
    async with transaction() as session:
        stored = await session.get_one(Approval, approval.id)
        assert (stored.first_approver_id, stored.decided_status) == (world.bob.id, None)


async def test_what_nobody_or_another_has_decided_cannot_be_undone(
    alice, bob, ask, approve_first
) -> None:
    undecided, approved_first = await ask("New"), await approve_first()
    for approval in (undecided, approved_first):
        response = await bob.post(f"/approvals/{approval.id}/undoings", headers=HTMX)
        assert "You have decided nothing here that can be undone." in response.text
        assert "Pending again" not in response.text
    assert STATE in (await alice.get(f"/approvals/{approved_first.id}")).text
    series = f"{undecided.id},{approved_first.id}"
    answer = await bob.post("/approvals/undoings", data={"series": series}, headers=HTMX)
    assert "Undid 0 of 2." in answer.text


async def test_the_next_item_is_one_that_waits_for_the_member(alice, ask, approve_first) -> None:
    newest, newer = await ask("Newest"), await ask("Newer")
    await approve_first("Older")
    path = f"/approvals/{newer.id}/answers"
    response = await alice.post(path, data=approving(newer), headers=HTMX)
    assert selected(response.text) == "Newest?"
    path = f"/approvals/{newest.id}/answers"
    response = await alice.post(path, data=approving(newest), headers=HTMX)
    assert selected(response.text) == "Older?"


async def test_the_sidebar_of_a_first_approver_notices_changed_tasks(
    alice, bob, approve_first
) -> None:
    await approve_first()
    assert "approval-tasks" in (await alice.get("/rail")).text
    assert "approval-tasks" not in (await bob.get("/rail")).text


async def test_the_dashboard_says_that_an_approval_waits_for_others(
    alice, rita, approve_first
) -> None:
    await approve_first()
    assert "You approved" in (await alice.get("/dashboard/approvals")).text
    page = (await rita.get("/dashboard/approvals")).text
    assert "Waiting for others" in page
    assert "You approved" not in page
