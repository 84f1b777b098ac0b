"""The evidence about the work on a task, in the request for its approval."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from models import (
    Approval,
    Comment,
    Event,
    EventType,
    LinkKind,
    RunStatus,
    Task,
    TaskDescription,
    TaskLink,
)
from services import boards, tasks
from tests.support.approval_pages import approving, ask
from tests.support.gateway_rows import make_gateway, make_run

__all__ = ["ask"]


def find_evidence(page: str) -> str:
    """Return the HTML of the evidence; "" without any."""
    found = re.search(r'<section class="sect" aria-labelledby="evidence-.*?</section>', page, re.S)
    return found[0] if found else ""


def make_comment(approval: Approval, message: str, **author: Any) -> Comment:
    return Comment(
        board_id=approval.board_id,
        task_id=approval.task_id,
        message=message,
        created_at=now(),
        **author,
    )


@pytest.fixture
def change(transaction, world) -> Any:
    """Change a task as Alice."""

    async def change(task_id: Any, **changes: object) -> None:
        async with transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await tasks.update_task(
                session, world.alice, board, task_id, tasks.TaskUpdate.of(**changes)
            )

    return change


async def test_a_request_without_any_work_has_no_evidence(bob, ask, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    assert find_evidence((await bob.get(f"/approvals/{approval.id}")).text) == ""


async def test_the_last_comments_of_agents_are_shown_as_their_words(
    bob, ask, transaction, world
) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    rows = [
        make_comment(approval, f"Step **{number}** <script>x()</script>", agent_id=world.worker.id)
        for number in range(5)
    ]
    by_person = make_comment(approval, "Of a person", user_id=world.alice.id)
    async with transaction() as session:
        session.add_all([*rows, by_person])
    for path in (f"/approvals/{approval.id}", "/approvals"):
        evidence = find_evidence((await bob.get(path)).text)
        assert re.findall(r"<strong>(\d)</strong>", evidence) == ["2", "3", "4"]
        assert evidence.count("of Worker (unverified)") == 3
        assert "<script>" not in evidence
        assert "Of a person" not in evidence
        assert "Context only." in evidence


async def test_changes_of_the_content_since_the_start_are_shown(
    bob, ask, change, transaction
) -> None:
    approval = await ask("First", task_fields={"description": "Keep\nOld line"})
    await change(approval.task_id, description="Keep\nFirst line")
    await change(approval.task_id, status="in_progress")
    async with transaction() as session:
        started = (await session.get_one(Task, approval.task_id)).started_at
    assert started
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "Changes of the task since the work began" not in page

    async with transaction() as session:
        task = await session.get_one(Task, approval.task_id)
        task.started_at = started + timedelta(microseconds=1)
        for version in await session.scalars(select_versions(task)):
            version.created_at = started - timedelta(hours=1)
    await change(approval.task_id, description="Keep\nNew line", title="Renamed")
    await change(approval.task_id, title="Renamed again", priority="high")
    evidence = find_evidence((await bob.get(f"/approvals/{approval.id}")).text)
    assert re.search(r"<del[^>]*>First line</del>", evidence)
    assert re.search(r"<ins[^>]*>New line</ins>", evidence)
    assert "Old line" not in evidence
    assert re.search(r"<dt[^>]*>Title</dt>.*First.*Renamed again", evidence, re.S)
    assert "high" not in evidence


async def test_many_later_changes_do_not_hide_an_earlier_one(
    bob, ask, change, transaction, world
) -> None:
    approval = await ask("First", agent_id=world.worker.id, task_fields={"description": "Careful"})
    await change(approval.task_id, status="in_progress")
    await change(approval.task_id, description="Careless", title="Renamed")
    async with transaction() as session:
        task = await session.get_one(Task, approval.task_id)
        assert task.started_at is not None
        later = [
            Event(
                type=EventType.TASK_UPDATED,
                organization_id=world.tern.id,
                board_id=task.board_id,
                task_id=task.id,
                data={"changes": {"description": [f"No. {number}", f"No. {number + 1}"]}},
                created_at=now(),
            )
            for number in range(101)
        ]
        session.add_all(later)
    evidence = find_evidence((await bob.get(f"/approvals/{approval.id}")).text)
    assert re.search(r"<del[^>]*>Careful</del>.*<ins[^>]*>Careless</ins>", evidence, re.S)
    assert re.search(r"<dt[^>]*>Title</dt>.*First.*Renamed", evidence, re.S)


def select_versions(task: Task) -> Any:
    return select(TaskDescription).where(TaskDescription.task_id == task.id)


async def test_the_last_run_and_checks_are_shown(bob, ask, transaction, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    gateway = make_gateway(world.tern)
    call = {
        "name": "exec",
        "title": "pytest",
        "detail": "",
        "status": "failed",
        "error": "2 failed",
    }
    run = make_run(
        gateway,
        world.worker,
        task_id=approval.task_id,
        status=RunStatus.FAILED,
        tool_calls=[call],
        tail="The end <b>of it</b>",
        error="out of tokens",
        ended_at=now(),
    )
    link = TaskLink(
        board_id=world.board.id,
        task_id=approval.task_id,
        kind=LinkKind.CHANGE,
        key="https://example.com/pull/12",
        repository="tern/app",
        reference="#12",
        title="Paint the door",
        url="https://example.com/pull/12",
        state="open",
        checks={"tests": "failing"},
        checks_state="failing",
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add_all([gateway, link])
        await session.flush()
        session.add(run)
    evidence = find_evidence((await bob.get(f"/approvals/{approval.id}")).text)
    assert "Last run, by Worker: Failed" in evidence
    for text in (
        "out of tokens",
        "2 failed",
        "The end &lt;b&gt;of it&lt;/b&gt;",
        "Checks fail",
        "#12",
    ):
        assert text in evidence


async def test_evidence_is_not_part_of_what_is_approved(bob, ask, transaction, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    async with transaction() as session:
        session.add(make_comment(approval, "Said later", agent_id=world.worker.id))
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "Said later" in page
    assert f'name="action_hash" value="{approval.action_hash}"' in page
    decided = await bob.post(f"/approvals/{approval.id}/answers", data=approving(approval))
    assert decided.status_code == 303
    assert find_evidence((await bob.get(f"/approvals/{approval.id}")).text) == ""


async def test_long_evidence_is_cut_and_says_so(bob, ask, change, transaction, world) -> None:
    long = "".join(f"{number} {'x' * 30}\n" for number in range(900))
    approval = await ask("First", agent_id=world.worker.id, task_fields={"description": "Short"})
    await change(approval.task_id, description="Before")
    async with transaction() as session:
        task = await session.get_one(Task, approval.task_id)
        task.started_at = now()
    await change(approval.task_id, status="in_progress")
    async with transaction() as session:
        of_task = TaskDescription.task_id == approval.task_id
        past = now() - timedelta(hours=1)
        await session.execute(update(TaskDescription).where(of_task).values(created_at=past))
        message = "**word** " * 5_000
        session.add(make_comment(approval, message, agent_id=world.worker.id))
    await change(approval.task_id, description=long[:19_000])
    page = (await bob.get(f"/approvals/{approval.id}?all=1")).text
    evidence = find_evidence(page)
    assert "The first lines of the change are shown." in evidence
    assert evidence.count("<ins") <= 200
    assert "Show the whole comment" in evidence
    await change(approval.task_id, description=long)
    evidence = find_evidence((await bob.get(f"/approvals/{approval.id}?all=1")).text)
    assert "The change of the description is too long to be shown here." in evidence


async def test_a_change_that_joins_a_version_from_before_the_start_is_shown(
    bob, ask, change
) -> None:
    approval = await ask("First", task_fields={"description": "One"})
    await change(approval.task_id, description="Two")
    await change(approval.task_id, status="in_progress")
    await change(approval.task_id, description="Three")  # soon after "Two": one version
    evidence = find_evidence((await bob.get(f"/approvals/{approval.id}")).text)
    assert re.search(r"<del[^>]*>Two</del>.*<ins[^>]*>Three</ins>", evidence, re.S)
    await change(approval.task_id, description="Two")
    assert "since the work began" not in (await bob.get(f"/approvals/{approval.id}")).text
