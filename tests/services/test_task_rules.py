"""The rules of the house, one by one, without a database."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from models import Agent, Status, new_id
from services.tasks.rules import check_change, check_creation
from services.tasks.wishes import Approvals, Wish
from tests.world import World, a_world, an_agent

INBOX, IN_PROGRESS, REVIEW, DONE = Status
BLOCKED = "task_blocked_cannot_transition"
MOVES = list(product(Status, Status))
EARLIER = now() - timedelta(hours=1)


@pytest.fixture
def world() -> World:
    return a_world()


def wish(world: World, actor: Any, stands: Status = INBOX, /, **facts: Any) -> Wish:
    """Make a wish about a task that stands somewhere. Facts that are no facts are changes."""
    known = {name: facts.pop(name) for name in list(facts) if name in Wish.__dataclass_fields__}
    task = world.task(status=stands, assigned_agent_id=facts.pop("held_by", None))
    return Wish(actor=actor, board=world.board, task=task, changes=facts, **known)


def refusal(wish: Wish) -> str | None:
    """Return the code with which a change is refused."""
    try:
        check_change(wish)
    except Refusal as refusal:
        return refusal.code
    return None


def refused(wish: Wish) -> Refusal:
    with pytest.raises(Refusal) as caught:
        check_change(wish)
    return caught.value


@pytest.mark.parametrize(("stands", "to"), MOVES)
def test_people_and_workers_move_anything_anywhere_on_a_board_that_asks_nothing(
    world, stands, to
) -> None:
    """C36."""
    assert refusal(wish(world, world.alice, stands, status=to)) is None
    for holder in (None, world.worker.id):
        assert refusal(wish(world, world.worker, stands, status=to, held_by=holder)) is None


@pytest.mark.parametrize(("stands", "to"), MOVES)
def test_a_lead_only_accepts_rejects_and_starts_what_it_assigns(world, stands, to) -> None:
    """C36."""
    decides = (stands, to) in {(REVIEW, DONE), (REVIEW, INBOX)}
    assert refusal(wish(world, world.lead, stands, status=to)) == (
        None if decides else "lead_move_forbidden"
    )
    starts = (stands, to) == (INBOX, IN_PROGRESS)
    assigning = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
    assert refusal(wish(world, world.lead, stands, status=to, **assigning)) == (
        None if decides or starts else "lead_move_forbidden"
    )


@pytest.mark.parametrize(("stands", "to"), MOVES)
def test_a_worker_does_not_move_the_task_of_another(world, stands, to) -> None:
    """C36."""
    claimed = stands is to is IN_PROGRESS
    asked = wish(world, world.worker, stands, status=to, held_by=world.other_worker.id)
    refusal_told = refused(asked)
    assert refusal_told.code == ("task_already_claimed" if claimed else "task_assignee_mismatch")
    assert isinstance(refusal_told, Conflict if claimed else Forbidden)


def test_a_worker_comments_on_the_task_of_another(world) -> None:
    held = {"held_by": world.other_worker.id}
    assert refusal(wish(world, world.worker, IN_PROGRESS, comment="Careful.", **held)) is None


@pytest.mark.parametrize(
    "field", ["title", "description", "priority", "due_at", "assigned_agent_id", "tag_ids"]
)
def test_a_worker_changes_nothing_but_status_comment_and_custom_fields(world, field) -> None:
    refusal_told = refused(wish(world, world.worker, **{field: None}))
    assert isinstance(refusal_told, Forbidden)
    assert refusal_told.code == "task_update_field_forbidden"


def test_a_lead_changes_neither_title_nor_comment(world) -> None:
    told = refused(wish(world, world.lead, title="Better", comment="Better!"))
    assert told.code == "lead_comment_in_update"
    told = refused(wish(world, world.lead, title="Better", tag_ids=[]))
    assert told.code == "task_update_field_forbidden"
    assert "title" in told.message


def test_only_the_lead_and_people_move_tasks_where_the_board_says_so(world) -> None:
    world.board.only_lead_can_change_status = True
    assert refusal(wish(world, world.worker, status=INBOX)) == "only_lead_can_change_status"
    assert refusal(wish(world, world.worker, comment="Well.")) is None
    assert refusal(wish(world, world.alice, status=DONE)) is None
    assert refusal(wish(world, world.lead, REVIEW, status=DONE)) is None


def test_an_agent_of_another_board_has_no_say(world) -> None:
    other_lead = an_agent("Other lead", world.garden, is_board_lead=True)
    for agent in (world.gardener, other_lead):
        assert refusal(wish(world, agent, comment="Hello")) == "task_board_mismatch"


def test_an_agent_without_a_board_is_judged_like_a_worker(world) -> None:
    main = Agent(id=new_id(), name="Main", board_id=None, is_board_lead=False)
    assert refusal(wish(world, main, status=DONE)) is None
    assert refusal(wish(world, main, title="x")) == "task_update_field_forbidden"


def test_what_a_person_may_do_with_a_task_that_waits(world) -> None:
    """C6."""
    waits: dict[str, Any] = {"waits_for": [new_id()]}
    assigned = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
    for stands, changes, code in [
        (INBOX, {"title": "Better"}, None),
        (IN_PROGRESS, {"status": INBOX}, None),
        (IN_PROGRESS, {"status": IN_PROGRESS, "title": "Better"}, None),
        (INBOX, {"status": IN_PROGRESS}, BLOCKED),
        (IN_PROGRESS, {"status": REVIEW}, BLOCKED),
        (REVIEW, {"status": DONE}, BLOCKED),
        (DONE, {"status": DONE, "title": "Better"}, None),
        (DONE, {"status": REVIEW}, BLOCKED),
        (INBOX, assigned, BLOCKED),
        (INBOX, {"status": INBOX} | assigned, BLOCKED),
        (INBOX, {"held_by": world.worker.id} | assigned, None),
        (INBOX, {"assigned_agent_id": None, "held_by": world.worker.id}, None),
        (INBOX, {"tag_ids": []}, None),
    ]:
        assert refusal(wish(world, world.alice, stands, **waits, **changes)) == code, changes


def test_what_agents_may_do_with_a_task_that_waits(world) -> None:
    first, second = new_id(), new_id()
    waits: dict[str, Any] = {"waits_for": [first, second]}
    for to, code in [(INBOX, None), (IN_PROGRESS, BLOCKED), (REVIEW, BLOCKED), (DONE, BLOCKED)]:
        assert refusal(wish(world, world.worker, IN_PROGRESS, status=to, **waits)) == code
    assert refusal(wish(world, world.worker, comment="Waiting.", **waits)) is None
    assert refusal(wish(world, world.lead, REVIEW, status=INBOX, **waits)) == BLOCKED
    assert refusal(wish(world, world.lead, assigned_agent_id=None, **waits)) == BLOCKED
    assert refusal(wish(world, world.lead, tag_ids=[], **waits)) is None

    told = refused(wish(world, world.worker, status=DONE, **waits))
    assert isinstance(told, Conflict)
    assert told.details == {"blocked_by_task_ids": [str(first), str(second)]}


def test_an_assignee_exists_and_works_on_the_board(world) -> None:
    for actor in (world.alice, world.lead):
        for agent, code in [
            (None, "agent_not_found"),
            (world.gardener, "assignee_on_other_board"),
            (world.worker, None),
        ]:
            changes = {"assigned_agent_id": agent.id if agent else new_id(), "assignee": agent}
            assert refusal(wish(world, actor, **changes)) == code
    lead = {"assigned_agent_id": world.lead.id, "assignee": world.lead}
    assert refusal(wish(world, world.lead, **lead)) == "assignee_is_lead"
    assert refusal(wish(world, world.alice, **lead)) is None
    other_lead = an_agent("Other lead", world.garden, is_board_lead=True)
    assert (
        refusal(wish(world, world.lead, assigned_agent_id=other_lead.id, assignee=other_lead))
        == "assignee_is_lead"
    )


def test_dependencies_are_other_tasks_of_the_board_and_form_no_circle(world) -> None:
    for actor in (world.alice, world.lead):
        asked = wish(world, actor, depends_on_task_ids=[new_id()])
        own = replace(asked, changes={"depends_on_task_ids": [asked.task.id]})
        assert isinstance(refused(own), Invalid)
        missing = refused(replace(asked, missing_task_ids=(one := new_id(),)))
        assert isinstance(missing, NotFound)
        assert missing.details == {"missing_task_ids": [str(one)]}
        circle = refused(replace(asked, closes_a_circle=True))
        assert isinstance(circle, Conflict)
        done = refused(wish(world, actor, DONE, depends_on_task_ids=[]))
        assert isinstance(done, Conflict)


def test_tags_exist_and_so_do_custom_fields(world) -> None:
    one = new_id()
    for actor in (world.alice, world.lead):
        told = refused(wish(world, actor, tag_ids=[one], missing_tag_ids=[one]))
        assert isinstance(told, NotFound)
        assert told.details == {"missing_tag_ids": [str(one)]}
    for actor in (world.alice, world.lead, world.worker):
        told = refused(wish(world, actor, custom_field_values={"b": 1, "a": 2}))
        assert isinstance(told, Invalid)
        assert told.details == {"unknown_field_keys": ["a", "b"]}


def test_a_pending_approval_holds_a_task_where_the_board_says_so(world) -> None:
    pending: dict[str, Any] = {"approvals": Approvals(pending=True, approved_at=now())}
    moves = [(world.alice, INBOX, DONE), (world.worker, INBOX, DONE), (world.lead, REVIEW, DONE)]
    for actor, stands, to in moves:
        assert refusal(wish(world, actor, stands, status=to, **pending)) is None
    world.board.block_status_changes_with_pending_approval = True
    for actor, stands, to in moves:
        told = refused(wish(world, actor, stands, status=to, **pending))
        assert (told.code, told.details) == ("approval_pending", {"blocked_by_task_ids": []})
    assert refusal(wish(world, world.alice, REVIEW, status=REVIEW, **pending)) is None
    unassigned = wish(world, world.alice, IN_PROGRESS, held_by=world.worker.id, **pending)
    asked = replace(unassigned, changes={"assigned_agent_id": None})
    assert refusal(asked) == "approval_pending"


@pytest.mark.parametrize("stands", list(Status))
def test_review_comes_before_done_where_the_board_says_so(world, stands) -> None:
    world.board.require_review_before_done = True
    code = None if stands in (REVIEW, DONE) else "review_required"
    for actor in (world.alice, world.worker):
        assert refusal(wish(world, actor, stands, status=DONE)) == code


@pytest.mark.parametrize(
    ("approvals", "code"),
    [
        (Approvals(), "approval_required"),
        (Approvals(pending=True), "approval_required"),
        (Approvals(approved_at=EARLIER), None),
        (Approvals(approved_at=EARLIER, rejected_at=now()), "approval_required"),
        (Approvals(approved_at=now(), rejected_at=EARLIER), None),
        (Approvals(approved_at=EARLIER, taken_up_at=now()), "approval_required"),
        (Approvals(approved_at=now(), taken_up_at=EARLIER), None),
    ],
)
def test_done_needs_an_approval_that_still_counts(world, approvals, code) -> None:
    world.board.require_approval_for_done = True
    for actor in (world.alice, world.worker, world.lead):
        assert refusal(wish(world, actor, REVIEW, status=DONE, approvals=approvals)) == code
    assert refusal(wish(world, world.alice, DONE, status=DONE, approvals=approvals)) is None


def test_review_needs_a_comment_where_the_board_says_so(world) -> None:
    world.board.comment_required_for_review = True
    for actor in (world.alice, world.worker):
        told = refused(wish(world, actor, IN_PROGRESS, status=REVIEW))
        assert (type(told), told.field) == (Invalid, "comment")
        assert refusal(wish(world, actor, IN_PROGRESS, status=REVIEW, comment="Done.")) is None
        assert refusal(wish(world, actor, IN_PROGRESS, status=REVIEW, commented=True)) is None
        assert refusal(wish(world, actor, REVIEW, status=REVIEW)) is None


def test_the_first_broken_rule_is_the_one_that_is_told(world) -> None:
    world.board.block_status_changes_with_pending_approval = True
    world.board.require_review_before_done = world.board.require_approval_for_done = True
    asked = wish(world, world.alice, status=DONE, approvals=Approvals(pending=True))
    assert refusal(asked) == "approval_pending"
    assert refusal(replace(asked, approvals=Approvals())) == "review_required"
    assert refusal(replace(asked, waits_for=[new_id()])) == BLOCKED
    assert refusal(replace(asked, missing_tag_ids=[new_id()])) == "tag_not_found"


def test_a_new_task_meets_the_same_gates(world) -> None:
    def created(actor: Any, **facts: Any) -> str | None:
        try:
            check_creation(wish(world, actor, INBOX, **facts))
        except Refusal as refusal:
            return refusal.code
        return None

    for actor in (world.alice, world.lead):
        for to in Status:
            assert created(actor, status=to) is None
        assert created(actor, status=INBOX, waits_for=[new_id()]) is None
        assert created(actor, status=REVIEW, waits_for=[new_id()]) == BLOCKED
        assigned = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
        assert created(actor, status=INBOX, waits_for=[new_id()], **assigned) == BLOCKED
    world.board.comment_required_for_review = True
    assert created(world.alice, status=REVIEW) == "comment_required"
    assert created(world.lead, status=REVIEW) is None
    world.board.require_approval_for_done = True
    assert created(world.lead, status=DONE) == "approval_required"
    world.board.require_review_before_done = True
    assert created(world.alice, status=DONE) == "review_required"
