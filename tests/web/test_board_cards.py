"""One card of a board, which reloads alone when it keeps its place."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import ApprovalStatus, Board, Event, EventType, Status, TagAssignment, Task, new_id
from services.events import EVENT_DEFINITIONS
from tests.support.board_pages import keep
from tests.support.board_rows import make_tag
from tests.support.world import World
from web.stale_parts import (
    MAX_SINGLE_CARDS,
    limit_single_cards,
    list_stale_parts,
)

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Write <b>it</b>", status=Status.IN_PROGRESS, assignee=world.worker)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def card_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/cards/{task.id}"


def find_card(html: str, task: Task) -> str:
    found = re.search(rf'<li class="card[^"]*" id="task-{task.id}".*?</li>', html, re.DOTALL)
    assert found
    return found[0]


async def test_a_card_is_the_same_alone_and_on_its_board(alice, world, task, card_path) -> None:
    page = (await alice.get(f"/boards/{world.board.id}")).text
    alone = await alice.get(card_path, headers=HTMX)
    assert alone.status_code == 200
    assert alone.text.strip() == find_card(page, task)
    template = re.search(r'data-cards="([^"]*)"', page)
    assert template
    assert template[1].replace("{id}", str(task.id)) == card_path


async def test_a_reader_sees_a_card_without_its_menu(rita, task, card_path) -> None:
    card = (await rita.get(card_path, headers=HTMX)).text
    assert find_card(card, task)
    assert "data-card-menu" not in card
    assert "data-movable" not in card


async def test_a_card_says_that_nothing_happens_on_its_task(
    rita, transaction, task, card_path
) -> None:
    assert "No activity" not in (await rita.get(card_path, headers=HTMX)).text
    async with transaction() as session:
        (await session.merge(task)).stale_since = now()
    assert "No activity" in (await rita.get(card_path, headers=HTMX)).text


async def test_a_card_of_another_organization_does_not_exist(charlie, anonymous, card_path) -> None:
    assert (await charlie.get(card_path, headers=HTMX)).status_code == 404
    assert (await anonymous.get(card_path, headers=HTMX)).status_code == 401


async def test_a_card_that_is_gone_is_answered_with_the_columns(alice, world, task) -> None:
    gone = await alice.get(f"/boards/{world.board.id}/cards/{uuid4()}", headers=HTMX)
    assert gone.status_code == 200
    assert (gone.headers["HX-Retarget"], gone.headers["HX-Reswap"]) == ("#board-view", "outerMorph")
    assert 'id="board-view"' in gone.text
    assert find_card(gone.text, task)


@pytest.mark.parametrize("query", ["?q=Write", "?view=list", "?agent=nobody"])
async def test_a_narrowed_board_reloads_with_every_card(alice, world, task, query) -> None:
    def triggers(html: str) -> str:
        found = re.search(r'id="board-view"[^>]*hx-trigger="([^"]*)"', html)
        assert found
        return found[1]

    narrowed = (await alice.get(f"/boards/{world.board.id}{query}")).text
    assert ", cards from:body" in triggers(narrowed)
    assert "data-cards" not in narrowed
    assert ", cards from:body" not in triggers((await alice.get(f"/boards/{world.board.id}")).text)


async def test_a_card_keeps_the_reason_of_a_refused_move(alice, world, transaction, task) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_review_before_done = True
    path = f"/boards/{world.board.id}"
    refused = await alice.post(f"{path}/tasks/{task.id}/moves", data={"to": "done"}, headers=HTMX)
    reason = "Needs a review before Done"
    assert reason in refused.text
    found = re.search(r'data-refused="([^"]*)"', find_card(refused.text, task))
    assert found
    again = await alice.get(f"{path}/cards/{task.id}?refused={found[1]}", headers=HTMX)
    assert reason in again.text
    assert reason not in (await alice.get(f"{path}/cards/{task.id}", headers=HTMX)).text


def all_pages(*names: str) -> dict[str, set[UUID | None]]:
    return {name: {None} for name in names}


def test_many_cards_are_loaded_together() -> None:
    few = all_pages("activity", *(f"card-{number}" for number in range(MAX_SINGLE_CARDS)))
    assert limit_single_cards(few) == few
    many = few | all_pages("card-x", "current-task-x")
    assert limit_single_cards(many) == all_pages("activity", "tasks", "agents")


def test_the_cards_of_many_agents_are_loaded_together() -> None:
    first, second = new_id(), new_id()
    names = [f"agent-cards-{number}" for number in range(MAX_SINGLE_CARDS)]
    few = all_pages("board-summaries") | {name: {first} for name in names}
    assert limit_single_cards(few) == few
    many = few | {"agent-cards-x": {second}}
    assert limit_single_cards(many) == all_pages("board-summaries") | {
        "agent-cards": {first, second}
    }


def test_combined_cards_are_loaded_on_all_boards_that_show_them() -> None:
    """Also if another board of the same stream has to load its tasks."""
    many = all_pages(*(f"card-{number}" for number in range(MAX_SINGLE_CARDS + 1)))
    assert None in limit_single_cards(many | {"tasks": {new_id()}})["tasks"]


@pytest.mark.parametrize("query", ["", "?q=Write", "?view=list"])
async def test_the_state_of_an_agent_is_on_its_cards_only(alice, world, task, query) -> None:
    names = set(
        list_stale_parts(make_event(EventType.AGENT_STATUS_CHANGED, agent_id=world.worker.id))
    )
    assert f"agent-cards-{world.worker.id}" in names
    assert names.isdisjoint({"tasks", "cards"})
    page = (await alice.get(f"/boards/{world.board.id}{query}")).text
    shows_state = "list" not in query
    assert (f'data-agent="{world.worker.id}"' in page) is shows_state
    assert ("agent-cards from:body throttle:3s" in page) is shows_state


def make_event(type: EventType, *, agent_id: UUID | None = None, **data: object) -> Event:
    return Event(
        id=new_id(), type=type, task_id=new_id(), agent_id=agent_id, data=data, created_at=now()
    )


@pytest.mark.parametrize(
    ("type", "data", "reloads_all"),
    [
        (EventType.TASK_UPDATED, {"changes": {"title": ["a", "b"]}}, False),
        (EventType.TASK_UPDATED, {"changes": {"assigned_agent_id": [None, "b"]}}, False),
        (EventType.TASK_UPDATED, {"changes": {"title": [], "tag_ids": []}}, True),
        (EventType.TASK_UPDATED, {"changes": {"depends_on_task_ids": []}}, True),
        (EventType.TASK_UPDATED, {"changes": {}}, True),
        (EventType.TASK_UPDATED, {"completed_task_id": "x"}, True),
        (EventType.TASK_STATUS_CHANGED, {"changes": {"title": []}}, True),
        (EventType.TASK_COMMENT, {}, False),
    ],
)
def test_only_a_change_of_one_card_reloads_one_card(type, data, reloads_all) -> None:
    event = make_event(type, **data)
    names = set(list_stale_parts(event))
    assert ("tasks" in names) is reloads_all
    assert ({f"card-{event.task_id}", "cards"} <= names) is not reloads_all
    assert ("agents" in names) is reloads_all
    expected = {name.split("{")[0] for name in EVENT_DEFINITIONS[type].stale_parts} - {
        "tasks",
        "agents",
    }
    assert all(any(name.startswith(one) for name in names) for one in expected)


async def test_a_card_counts_its_decisions_and_further_tags(
    alice, rita, transaction: TransactionFactory, world: World, task: Task, card_path: str
) -> None:
    tags = [make_tag(world.tern, name) for name in ("One", "Two", "Three", "Four", "Five")]
    async with transaction() as session:
        session.add_all([*tags, *world.make_approval(task)])
        session.add_all(world.make_approval(task, action_type="deploy"))
        await session.flush()
        links = [
            TagAssignment(task_id=task.id, tag_id=tag.id, position=number, created_at=now())
            for number, tag in enumerate(tags)
        ]
        session.add_all(links)
    card = (await alice.get(card_path)).text
    assert "Needs you (2)" in card
    assert "<span>+2</span>" in card
    assert [name for name in ("One", "Two", "Three", "Four", "Five") if name in card] == [
        *("One", "Two", "Three")
    ]
    assert "Waits for an approval" in (await rita.get(card_path)).text


async def test_a_task_in_review_shows_the_last_decision_about_its_work(
    alice, transaction: TransactionFactory, world: World, board_path: str
) -> None:
    """Not one from before the work was begun again, used before, or about something else."""
    created, early, late = (now() - timedelta(hours=hours) for hours in (3, 2, 1))
    titles = ("Approved later", "Rejected", "Undecided", "Moved", "Begun again", "Used", "Deploy")
    tasks = [world.make_task(title, status=Status.REVIEW) for title in titles]
    for task in tasks:
        task.created_at = created
    approved, rejected, _, moved, again, used, deployed = tasks
    moved.status, again.previous_in_progress_at = Status.IN_PROGRESS, late
    async with transaction() as session:
        session.add_all(tasks)
        for task in (approved, rejected, moved, again):
            decided = {"status": ApprovalStatus.REJECTED, "resolved_at": early}
            session.add_all(world.make_approval(task, **decided))
        done = {"status": ApprovalStatus.APPROVED, "resolved_at": late}
        approval, link = world.make_approval(used, **done)
        link.used_at = late
        session.add_all(
            [approval, link, *world.make_approval(deployed, action_type="deploy", **done)]
        )
        undoable = {"decided_status": ApprovalStatus.APPROVED, "decided_at": late}
        session.add_all(world.make_approval(approved, **undoable, finalizes_at=now()))

    for end, path in (("</li>", board_path), ("</tr>", f"{board_path}?view=list")):
        page = (await alice.get(path)).text
        shown = [page.split(f'id="task-{task.id}"')[1].split(end)[0] for task in tasks]
        decisions = [re.findall(r"</svg>(Approved|Rejected)</span>", one) for one in shown]
        assert decisions == [["Approved"], ["Rejected"], [], [], [], [], []]


async def test_many_first_calls_reload_a_sidebar_every_three_seconds(alice) -> None:
    parts = EVENT_DEFINITIONS[EventType.AGENT_STATUS_CHANGED].stale_parts
    found = re.search(r'hx-get="/rail" hx-trigger="([^"]*)"', (await alice.get("/rail")).text)
    assert found
    triggers = [trigger.strip().split(" from:body ") for trigger in found[1].split(",")]
    assert [rest for name, *rest in triggers if name in parts] == [["throttle:3s"]]


@pytest.mark.parametrize("has_lead", [True, False])
async def test_a_done_card_keeps_who_did_the_work(
    alice, board_path, transaction, world, has_lead
) -> None:
    reviewer_id = world.lead.id if has_lead else None
    task = world.make_task(
        "Painted",
        status=Status.REVIEW,
        assigned_agent_id=reviewer_id,
        previous_assignee_id=world.worker.id,
    )
    await keep(transaction, task)
    path = f"{board_path}/tasks/{task.id}"
    name = world.worker.name
    moved = await alice.post(f"{path}/moves", data={"to": "done"}, headers=HTMX)
    assert moved.status_code == 200

    card = (await alice.get(f"{board_path}/cards/{task.id}", headers=HTMX)).text
    assert re.search(rf'<span class="trunc" dir="auto">{name}</span>', card)
    listed = (await alice.get(f"{board_path}?view=list&sort=assignee")).text
    row = listed.split(f'id="task-{task.id}"')[1].split("</tr>")[0]
    assert name in row.split('class="c-who"')[1]
    page = (await alice.get(path)).text
    assert re.search(rf"<dt>Done by</dt>.*?{name}", page, re.S)
    filtered = (await alice.get(f"{board_path}?view=list&agent={world.worker.id}")).text
    assert f'id="task-{task.id}"' in filtered

    await alice.post(f"{path}/moves", data={"to": "review"}, headers=HTMX)
    assert "<dt>Done by</dt>" not in (await alice.get(path)).text
