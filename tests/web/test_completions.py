"""People who may decide approve the completion of a task and move it to Done in one step."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Approval,
    ApprovalPolicy,
    ApprovalStatus,
    Board,
    Event,
    EventType,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    SignIn,
    Status,
    Task,
    new_id,
)
from tests.support.approval_pages import ask, stored
from tests.support.board_rows import make_link
from tests.support.world import World

__all__ = ["ask"]

ON_BOARD = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#board-view"}
ON_TASK = ON_BOARD | {"HX-Target": "div#task"}
QUESTION = "Needs an approval. Approve and move to Done?"


@pytest.fixture(autouse=True)
async def gated_board(transaction: TransactionFactory, world: World) -> None:
    """Require an approval before a task of the board is done."""
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_approval_for_done = True


@pytest.fixture
def set_policy(transaction: TransactionFactory, world: World) -> Any:
    async def set_policy(effect: PolicyEffect = PolicyEffect.ASK_ONE, **fields: Any) -> None:
        rule = PolicyRule(id=new_id(), name="Careful", effect=effect, **fields)
        async with transaction() as session:
            session.add(
                ApprovalPolicy(
                    organization_id=world.board.organization_id,
                    board_id=world.board.id,
                    rules=[rule],
                    updated_at=now(),
                )
            )

    return set_policy


async def move(
    client: AsyncClient, task: Task, headers: dict[str, str] | None = None, **data: str
) -> Response:
    path = f"/boards/{task.board_id}/tasks/{task.id}/moves"
    return await client.post(path, data={"to": "done"} | data, headers=headers)


def read_form(page: str) -> tuple[str, dict[str, list[str]]]:
    """Return the address and the fields of the form of the confirmation."""
    forms = re.findall(
        r'<form[^>]* action="([^"]*/completions[^"]*)"[^>]*>(.*?)</form>', page, re.S
    )
    [(action, content)] = forms
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(shown|before|after|complete)" value="([^"]*)"', content):
        fields.setdefault(name, []).append(html.unescape(value))
    return html.unescape(action), fields


async def confirm(
    client: AsyncClient, page: str, headers: dict[str, str] | None = None
) -> Response:
    action, fields = read_form(page)
    return await client.post(action, data=fields, headers=headers)


async def load(transaction: TransactionFactory, task: Task) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, task.id, populate_existing=True)


async def list_approvals(transaction: TransactionFactory) -> list[Approval]:
    async with transaction() as session:
        return list(await session.scalars(select(Approval)))


async def test_a_move_to_done_is_requested_approved_and_made_in_one_step(
    bob, task, transaction, world
) -> None:
    refused = await move(bob, task, ON_BOARD)
    assert refused.status_code == 409
    assert QUESTION in refused.text
    assert "card__refused" not in refused.text  # it would stay after the dialog is cancelled
    assert (await list_approvals(transaction)) == []

    done = await confirm(bob, refused.text, ON_BOARD)
    assert done.status_code == 200
    assert "Approved and moved to Done" in done.text.split("data-toast")[1]
    assert (await load(transaction, task)).status is Status.DONE
    [approval] = await list_approvals(transaction)
    assert approval.status is ApprovalStatus.APPROVED
    assert (approval.requested_by_user_id, approval.decided_by_user_id) == (world.bob.id,) * 2
    assert approval.moves_tasks_to_done
    async with transaction() as session:
        found = list(await session.scalars(select(Event).order_by(Event.seq)))
    ours = [one for one in found if one.type in (*APPROVAL_EVENTS, EventType.TASK_STATUS_CHANGED)]
    assert [one.type for one in ours] == [*APPROVAL_EVENTS, EventType.TASK_STATUS_CHANGED]
    assert {one.user_id for one in ours} == {world.bob.id}
    assert ours[-1].data["approval_id"] == str(approval.id)


APPROVAL_EVENTS = (EventType.APPROVAL_REQUESTED, EventType.APPROVAL_APPROVED)


async def test_the_confirmation_approves_the_pending_request_of_the_agent(
    bob, ask, transaction, world
) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    task = await load(transaction, await stored_task(transaction, approval))
    refused = await move(bob, task, ON_BOARD)
    assert f"This approves the request of {world.worker.name}." in refused.text
    assert "It is tested." in refused.text

    await confirm(bob, refused.text, ON_BOARD)
    [decided] = await list_approvals(transaction)
    assert (decided.id, decided.status) == (approval.id, ApprovalStatus.APPROVED)
    assert decided.decided_by_user_id == world.bob.id
    assert (await load(transaction, task)).status is Status.DONE


async def stored_task(transaction: TransactionFactory, approval: Approval) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, approval.task_id)


async def test_a_board_that_locks_tasks_with_a_request_offers_it_too(
    bob, ask, transaction, world
) -> None:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.block_status_changes_with_pending_approval = True
    approval = await ask("First", agent_id=world.worker.id)
    task = await stored_task(transaction, approval)
    refused = await move(bob, task, ON_BOARD)
    assert QUESTION in refused.text
    await confirm(bob, refused.text, ON_BOARD)
    assert (await load(transaction, task)).status is Status.DONE
    other = await stored_task(transaction, await ask("Other", agent_id=world.worker.id))
    assert QUESTION not in (await move(bob, other, ON_BOARD, to="review")).text


@pytest.mark.parametrize("headers", [ON_BOARD, ON_TASK, None])
async def test_content_that_changes_meanwhile_is_not_approved(
    bob, task, transaction, headers
) -> None:
    page = await open_confirmation(bob, task, headers)
    async with transaction() as session:
        (await session.get_one(Task, task.id)).title = "Something else"

    refused = await confirm(bob, page, headers)
    assert refused.status_code == 409
    assert "The content of this request may have changed." in refused.text
    assert (await load(transaction, task)).status is Status.IN_PROGRESS
    assert (await list_approvals(transaction)) == []

    assert "Something else" in refused.text
    done = await confirm(bob, refused.text, headers)
    assert done.status_code == (200 if headers else 303)
    assert (await load(transaction, task)).status is Status.DONE


async def open_confirmation(client: AsyncClient, task: Task, headers: dict[str, str] | None) -> str:
    """Move a task to Done where these headers say, and return what offers to confirm it."""
    here = f"/boards/{task.board_id}/tasks/{task.id}"
    if headers is ON_TASK:
        refused = await client.post(f"{here}/changes", data={"status": "done"}, headers=headers)
    else:
        refused = await move(client, task, headers)
    if headers is None:
        assert refused.status_code == 303
        refused = await client.get(refused.headers["Location"])
    assert QUESTION in refused.text
    return refused.text


async def test_a_request_that_appears_meanwhile_is_shown_first(
    bob, task, transaction, world
) -> None:
    page = await open_confirmation(bob, task, ON_BOARD)
    rows = world.make_approval(task, agent_id=world.worker.id, payload={"reason": "It is late."})
    async with transaction() as session:
        session.add_all(rows)
    refused = await confirm(bob, page, ON_BOARD)
    assert refused.status_code == 409
    assert "It is late." in refused.text
    assert (await load(transaction, task)).status is Status.IN_PROGRESS
    await confirm(bob, refused.text, ON_BOARD)
    assert (await load(transaction, task)).status is Status.DONE


async def test_the_page_of_the_task_offers_it_and_shows_the_result(bob, task, transaction) -> None:
    page = await open_confirmation(bob, task, ON_TASK)
    assert "requires an approval before" not in page
    done = await confirm(bob, page, ON_TASK)
    assert done.status_code == 200
    assert 'id="task"' in done.text
    assert (await load(transaction, task)).status is Status.DONE


async def test_without_scripts_the_confirmation_is_a_page(bob, task, transaction) -> None:
    changes = f"/boards/{task.board_id}/tasks/{task.id}/changes"
    refused = await bob.post(changes, data={"status": "done"})
    page = (await bob.get(refused.headers["Location"])).text
    done = await confirm(bob, page)
    assert (done.status_code, done.headers["Location"]) == (303, changes.removesuffix("/changes"))
    assert (await load(transaction, task)).status is Status.DONE
    again = await bob.get(refused.headers["Location"])
    assert again.status_code == 303


@pytest.mark.parametrize("headers", [ON_BOARD, None])
async def test_a_selection_of_tasks_is_confirmed_at_once(bob, transaction, world, headers) -> None:
    made = [world.make_task(title) for title in ("First", "Second")]
    async with transaction() as session:
        session.add_all(made)
    path = f"/boards/{world.board.id}/changes"
    sent = {"ids": [str(one.id) for one in made], "status": "done"}
    refused = await bob.post(path, data=sent, headers=headers)
    assert "tasks not changed" not in refused.text
    if headers is None:
        refused = await bob.get(refused.headers["Location"])
    assert len(read_form(refused.text)[1]["shown"]) == 2
    async with transaction() as session:
        (await session.get_one(Task, made[1].id)).title = "Changed"

    partly = await confirm(bob, refused.text, headers)
    assert partly.status_code == 200
    assert "The content of this request may have changed." in partly.text
    assert [(await load(transaction, one)).status for one in made] == ["done", "inbox"]
    [again] = read_form(partly.text)[1]["shown"]
    assert again.startswith(str(made[1].id))
    await confirm(bob, partly.text, headers)
    assert (await load(transaction, made[1])).status is Status.DONE
    assert len(await list_approvals(transaction)) == 2


@pytest.mark.parametrize("headers", [ON_BOARD, None])
async def test_a_confirmed_selection_is_undone_at_once(bob, transaction, world, headers) -> None:
    made = [world.make_task(title, status="review") for title in ("First", "Second")]
    async with transaction() as session:
        session.add_all(made)
    board = f"/boards/{world.board.id}"
    sent = {"ids": [str(one.id) for one in made], "status": "done"}
    offered = await bob.post(f"{board}/changes?view=list", data=sent, headers=headers)
    if headers is None:
        offered = await bob.get(offered.headers["Location"])
    done = await confirm(bob, offered.text, headers)
    assert [(await load(transaction, one)).status for one in made] == ["done", "done"]
    if headers is None:
        done = await bob.get(done.headers["Location"])
    [undo] = re.findall(r'action="([^"]*/undos[^"]*)"', done.text)
    await bob.post(html.unescape(undo), data={}, headers=headers)
    assert [(await load(transaction, one)).status for one in made] == ["review", "review"]


async def test_the_move_can_be_undone(bob, task, transaction) -> None:
    done = await confirm(bob, await open_confirmation(bob, task, ON_BOARD), ON_BOARD)
    undo = dict(re.findall(r'name="(\w+)" value="([^"]*)"', done.text.split("data-toast")[1]))
    await bob.post(f"/boards/{task.board_id}/tasks/{task.id}/moves", data=undo, headers=ON_BOARD)
    assert (await load(transaction, task)).status is Status.IN_PROGRESS
    assert QUESTION in (await move(bob, task, ON_BOARD)).text


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"effect": PolicyEffect.ASK_TWO}, "Two people must approve this before Done"),
        ({"effect": PolicyEffect.DENY}, "The policy does not allow this task to be done"),
        ({"decider_role": "admin"}, "Somebody else must approve this before Done"),
    ],
)
async def test_a_policy_that_asks_others_leaves_it_a_request(
    bob, task, transaction, set_policy, policy, reason
) -> None:
    page = await open_confirmation(bob, task, ON_BOARD)
    await set_policy(**policy)
    refused = await confirm(bob, page, ON_BOARD)
    assert refused.status_code == 403
    assert "Not moved to Done" in refused.text
    assert (await load(transaction, task)).status is Status.IN_PROGRESS
    assert (await list_approvals(transaction)) == []

    moved = await move(bob, task, ON_BOARD)
    assert QUESTION not in moved.text
    assert reason in moved.text
    changes = f"/boards/{task.board_id}/tasks/{task.id}/changes"
    on_page = await bob.post(changes, data={"status": "done"}, headers=ON_TASK)
    assert QUESTION not in on_page.text
    assert reason in on_page.text
    assert "Request approval" in on_page.text


async def test_a_policy_that_allows_completion_needs_no_decision(
    bob, task, transaction, set_policy
) -> None:
    await set_policy(PolicyEffect.ALLOW)
    await confirm(bob, await open_confirmation(bob, task, ON_BOARD), ON_BOARD)
    [approval] = await list_approvals(transaction)
    assert approval.is_decided_by_policy
    assert (await load(transaction, task)).status is Status.DONE


async def test_the_second_of_two_people_can_move_the_task(bob, ask, transaction, world) -> None:
    for_two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    approval = await ask("First", agent_id=world.worker.id, policy_verdict=for_two)
    task = await stored_task(transaction, approval)
    assert QUESTION not in (await move(bob, task, ON_BOARD)).text
    async with transaction() as session:
        row = await session.get_one(Approval, approval.id)
        row.first_approver_id, row.first_approved_at = world.alice.id, now()
        row.first_approval_hash = row.action_hash
    refused = await move(bob, task, ON_BOARD)
    await confirm(bob, refused.text, ON_BOARD)
    assert (await stored(transaction, approval)).status is ApprovalStatus.APPROVED
    assert (await load(transaction, task)).status is Status.DONE


@pytest.mark.parametrize("is_other_kind", [True, False])
async def test_a_request_for_something_else_is_not_approved_by_a_move(
    bob, ask, transaction, world, is_other_kind
) -> None:
    kind = "deploy" if is_other_kind else "task.complete"
    approval = await ask("First", agent_id=world.worker.id, action_type=kind)
    if not is_other_kind:
        other = world.make_task("Other")
        async with transaction() as session:
            session.add_all([other, make_link(approval, other)])
    task = await stored_task(transaction, approval)
    refused = await move(bob, task, ON_BOARD)
    assert QUESTION not in refused.text
    assert f'href="/approvals/{approval.id}">Decide</a>' in refused.text


async def test_long_content_is_opened_before_it_is_approved(bob, transaction, world) -> None:
    task = world.make_task("Long", description="word " * 4_000)
    async with transaction() as session:
        session.add(task)
    page = await open_confirmation(bob, task, ON_BOARD)
    assert "Open the complete content before you approve." in page
    refused = await confirm(bob, page, ON_BOARD)
    assert refused.status_code == 422
    assert (await load(transaction, task)).status is Status.INBOX
    [opened] = re.findall(r'href="([^"]*/completions\?[^"]*)"', page)
    complete = await bob.get(html.unescape(opened))
    assert (await confirm(bob, complete.text)).status_code == 303
    assert (await load(transaction, task)).status is Status.DONE


async def test_only_people_with_edit_rights_get_a_confirmation(
    bob, rita, charlie, anonymous, task, transaction
) -> None:
    page = await open_confirmation(bob, task, ON_BOARD)
    here = f"/boards/{task.board_id}"
    for client, status in [(rita, 403), (charlie, 404)]:
        assert (await confirm(client, page, ON_BOARD)).status_code == status
        for path in (f"{here}/tasks/{task.id}/completions", f"{here}/completions?ids={task.id}"):
            assert (await client.get(path)).status_code == status
    assert (await confirm(anonymous, page)).headers["Location"].startswith("/sign-in")
    assert (await load(transaction, task)).status is Status.IN_PROGRESS


@pytest.mark.parametrize("shown", [[], ["x"], [f"{new_id()}:ab"], [f"{new_id()}:ab"] * 21])
async def test_a_bad_confirmation_changes_nothing(bob, world, transaction, shown) -> None:
    path = f"/boards/{world.board.id}/completions"
    response = await bob.post(path, data={"shown": shown}, headers=ON_BOARD)
    assert response.status_code in (404, 422)
    assert (await list_approvals(transaction)) == []


async def test_an_old_session_signs_in_again_before_the_move(
    bob, task, transaction, set_policy
) -> None:
    await set_policy(requires_recent_sign_in=True)
    page = await open_confirmation(bob, task, ON_BOARD)
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now() - timedelta(hours=1)))
    refused = await confirm(bob, page, ON_BOARD)
    assert refused.status_code == 403
    assert refused.headers["HX-Redirect"].startswith("/sign-in/again")
    assert (await list_approvals(transaction)) == []
    assert (await load(transaction, task)).status is Status.IN_PROGRESS
