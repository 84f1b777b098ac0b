"""Approvals of many tasks with long contents: their pages do not hold the event loop."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Approval, Comment, Task, TaskDescription, new_id
from services.approvals import load_current_contents
from tests.support.approval_helpers import store_long_requests
from tests.support.approval_pages import HTMX, ask, checkbox
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.shown_forms import form_of
from tests.support.tiers import repetition
from tests.support.world import World

__all__ = ["ask"]

TASKS, LENGTH = 100, 20_000
LINES = 1_000


@pytest.fixture
async def long_approval(transaction: TransactionFactory, world: World) -> Approval:
    """An approval of tasks that were edited after the request, with emoji only."""
    tasks = [world.make_task(f"Task {number}") for number in range(TASKS)]
    rows = world.make_approval(*tasks, payload={"title": "Ship all"})
    text = Task.title + func.repeat("😀", LENGTH) + " end of " + Task.title
    async with transaction() as session:
        session.add_all([*tasks, *rows])
        await session.flush()
        await session.execute(update(Task).values(description=text))
    approval: Approval = rows[0]
    return approval


@pytest.mark.parametrize("path", [pytest.param("/approvals/{}", marks=repetition), "/approvals"])
async def test_a_page_with_the_beginnings_of_long_contents_is_cheap(
    alice, ask: Any, transaction, long_approval, path
) -> None:
    small = await ask("Small")
    await alice.get(f"/approvals/{small.id}")  # templates are compiled once
    selected = f"/approvals?selected={long_approval.id}" if path == "/approvals" else path
    with measure_holds() as holds:
        page = await alice.get(selected.format(long_approval.id))
    assert "The content of 100 tasks is cut." in page.text
    assert page.text.replace("<wbr>", "").count("😀" * 9_000) == 2 * TASKS
    assert holds.longest < calibrate()


async def test_the_complete_content_is_sent_in_slices(alice, ask, transaction, world) -> None:
    text = "\u200b\u2060" * 50_000
    tasks = [world.make_task(f"Task {number}", description=text) for number in range(40)]
    approval, *links = world.make_approval(*tasks)
    async with transaction() as session:
        session.add_all([*tasks, approval, *links])
    small = await ask("Small")
    await alice.get(f"/approvals/{small.id}?all=1")
    with measure_holds() as holds:
        page = await alice.get(f"/approvals/{approval.id}?all=1")
    assert page.text.count("U+200B") > 10_000
    assert "ETag" not in page.headers
    assert page.text.rstrip().endswith("</html>")
    assert holds.longest < calibrate()


@repetition
async def test_the_history_of_a_long_description_is_compared_in_a_thread(
    alice, transaction, world
) -> None:
    """As in tests/trust/test_event_loop_holds.py, for the longest descriptions."""
    task = world.make_task("Paint")
    texts = [make_lines("old"), make_lines("new")]
    rows = [
        TaskDescription(id=new_id(), task_id=task.id, text=text, created_at=now() + timedelta(n))
        for n, text in enumerate(texts)
    ]
    async with transaction() as session:
        session.add_all([task, *rows])
    path = f"/boards/{world.board.id}/tasks/{task.id}/descriptions"
    await alice.get(f"{path}?version={rows[0].id}")
    with measure_holds() as holds:
        page = (await alice.get(path)).text
    assert page.count("<ins ") == page.count("<del ") == LINES // 2
    assert holds.longest < calibrate()


@repetition
async def test_a_conflict_of_long_texts_is_compared_in_a_thread(alice, transaction, world) -> None:
    """As in tests/trust/test_event_loop_holds.py, for conflicts of all edits."""
    task = world.make_task("Paint", description="Paint.", version=2)
    async with transaction() as session:
        session.add(task)
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    form = form_of((await alice.get(path)).text, "description")
    for text in ("Sand.", make_lines("old")):
        async with transaction() as session:
            await session.execute(update(Task).values(description=text))
        with measure_holds() as holds:
            answer = await alice.post(
                f"{path}/changes", data=form | {"description": make_lines("new")}
            )
        assert answer.status_code == 409
    assert answer.text.count("<mark>") == LINES
    assert holds.longest < calibrate()


def make_lines(word: str) -> str:
    """Return a text whose even lines are also in that of another word, some four times each."""
    lines = (f"{word} {one}" if one % 2 else f"{one % 250}" for one in range(LINES))
    return "\n".join(line + "\u200b😀" * 45 for line in lines)


async def test_deciding_many_long_requests_does_not_hold_the_event_loop(
    alice, transaction, world
) -> None:
    async with transaction() as session:
        found = await store_long_requests(session, world, 60)
    first, *others = map(checkbox, found)
    await alice.post("/approvals/answers", data={"shown": [first], "status": "approved"})
    with measure_holds() as holds:
        body = {"shown": others, "status": "approved"}
        page = await alice.post("/approvals/answers", data=body, headers=HTMX)
    assert "59 approved" in page.text
    assert holds.longest < calibrate()


@pytest.mark.parametrize("text", ["\u202e" * 10_000, "\u202e\n" * 900, "**[a](b)** _" * 3_000])
async def test_the_longest_evidence_is_cheap(alice, ask: Any, transaction, world, text) -> None:
    small = await ask("Small", agent_id=world.worker.id)
    approval = await ask("Hostile", agent_id=world.worker.id)
    async with transaction() as session:
        of_task = {"board_id": world.board.id, "task_id": approval.task_id}
        session.add(TaskDescription(task_id=approval.task_id, text=text, created_at=now()))
        session.add_all(
            Comment(
                **of_task, agent_id=world.worker.id, message=f"{number} {text}", created_at=now()
            )
            for number in range(3)
        )
        task = await session.get_one(Task, approval.task_id)
        task.description, task.started_at = "", now() + timedelta(seconds=1)
    await alice.get(f"/approvals/{small.id}")  # templates are compiled once
    with measure_holds() as holds:
        page = await alice.get(f"/approvals/{approval.id}")
    assert "Changes of the task since the work began" in page.text
    assert page.text.count("(unverified)") >= 3
    assert holds.longest < calibrate()


async def test_contents_are_hashed_in_several_turns_of_the_event_loop(
    transaction, long_approval
) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with transaction() as session:
        counting = asyncio.create_task(count_turns())
        contents = (await load_current_contents(session, [long_approval.id]))[long_approval.id]
        counting.cancel()
    assert len(contents) == TASKS
    assert all({"object", "changes"} <= vars(one).keys() for one in contents)
    assert turns > TASKS
