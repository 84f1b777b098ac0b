"""The rules for changing and creating tasks, without a database."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from core.clock import now
from core.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from models import Agent, ApprovalStatus, Status, new_id
from services.approvals import hash_content
from services.tasks.change_request import TaskChange
from services.tasks.done_approvals import DonePermission, LinkedApproval, find_permission
from services.tasks.rules import check_change, check_creation
from tests.support.world import World, make_agent, make_world

INBOX, IN_PROGRESS, REVIEW, DONE = Status
APPROVED, REJECTED = ApprovalStatus.APPROVED, ApprovalStatus.REJECTED
BLOCKED = "task_blocked_cannot_transition"
MOVES = list(product(Status, Status))
EARLIER = now() - timedelta(hours=1)


@pytest.fixture
def world() -> World:
    return make_world()


def make_change(
    world: World, actor: Any, old_status: Status = INBOX, /, **facts: Any
) -> TaskChange:
    """Make a change of a task; names that are no attributes of TaskChange are sent values."""
    facts_given = {
        name: facts.pop(name) for name in list(facts) if name in TaskChange.__dataclass_fields__
    }
    task = world.make_task(status=old_status, assigned_agent_id=facts.pop("assignee_id", None))
    return TaskChange(actor=actor, board=world.board, task=task, values=facts, **facts_given)


def error_code(change: TaskChange) -> str | None:
    """Return the code of the error that a change raises, if any."""
    try:
        check_change(change)
    except AppError as error:
        return error.code
    return None


def raised_error(change: TaskChange) -> AppError:
    with pytest.raises(AppError) as caught:
        check_change(change)
    return caught.value


@pytest.mark.parametrize(("old_status", "new_status"), MOVES)
def test_users_and_workers_may_make_any_move_without_guards(world, old_status, new_status) -> None:
    """C36."""
    assert error_code(make_change(world, world.alice, old_status, status=new_status)) is None
    for assignee_id in (None, world.worker.id):
        assert (
            error_code(
                make_change(
                    world, world.worker, old_status, status=new_status, assignee_id=assignee_id
                )
            )
            is None
        )


@pytest.mark.parametrize(("old_status", "new_status"), MOVES)
def test_a_lead_may_only_accept_reject_or_start_assigned_tasks(
    world, old_status, new_status
) -> None:
    """C36."""
    is_decision = (old_status, new_status) in {(REVIEW, DONE), (REVIEW, INBOX)}
    assert error_code(make_change(world, world.lead, old_status, status=new_status)) == (
        None if is_decision else "lead_move_forbidden"
    )
    is_start = (old_status, new_status) == (INBOX, IN_PROGRESS)
    assigning = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
    assert error_code(
        make_change(world, world.lead, old_status, status=new_status, **assigning)
    ) == (None if is_decision or is_start else "lead_move_forbidden")


@pytest.mark.parametrize(("old_status", "new_status"), MOVES)
def test_a_worker_may_not_move_a_task_of_another_agent(world, old_status, new_status) -> None:
    """C36."""
    claimed = old_status is new_status is IN_PROGRESS
    change = make_change(
        world, world.worker, old_status, status=new_status, assignee_id=world.other_worker.id
    )
    error = raised_error(change)
    assert error.code == ("task_already_claimed" if claimed else "task_assignee_mismatch")
    assert isinstance(error, Conflict if claimed else Forbidden)


def test_a_worker_may_comment_on_a_task_of_another_agent(world) -> None:
    assigned = {"assignee_id": world.other_worker.id}
    assert (
        error_code(make_change(world, world.worker, IN_PROGRESS, comment="Careful.", **assigned))
        is None
    )


@pytest.mark.parametrize(
    "field", ["title", "description", "priority", "due_at", "assigned_agent_id", "tag_ids"]
)
def test_a_worker_may_only_change_status_comment_and_custom_fields(world, field) -> None:
    error = raised_error(make_change(world, world.worker, **{field: None}))
    assert isinstance(error, Forbidden)
    assert error.code == "task_update_field_forbidden"


def test_a_lead_may_change_neither_title_nor_comment(world) -> None:
    error = raised_error(make_change(world, world.lead, title="Better", comment="Better!"))
    assert error.code == "lead_comment_in_update"
    error = raised_error(make_change(world, world.lead, title="Better", tag_ids=[]))
    assert error.code == "task_update_field_forbidden"
    assert "title" in error.message


def test_a_board_can_restrict_moves_to_the_lead_and_users(world) -> None:
    world.board.only_lead_can_change_status = True
    assert (
        error_code(make_change(world, world.worker, status=INBOX)) == "only_lead_can_change_status"
    )
    assert error_code(make_change(world, world.worker, comment="Well.")) is None
    assert error_code(make_change(world, world.alice, status=DONE)) is None
    assert error_code(make_change(world, world.lead, REVIEW, status=DONE)) is None


def test_agents_of_other_boards_are_rejected(world) -> None:
    other_lead = make_agent("Other lead", world.garden, is_board_lead=True)
    for agent in (world.gardener, other_lead):
        assert error_code(make_change(world, agent, comment="Hello")) == "task_board_mismatch"


def test_an_agent_without_a_board_has_the_rules_of_a_worker(world) -> None:
    main = Agent(id=new_id(), name="Main", board_id=None, is_board_lead=False)
    given = make_change(world, main, status=DONE, assignee_id=main.id)
    assert error_code(given) is None
    assert error_code(make_change(world, main, title="x")) == "task_update_field_forbidden"


@pytest.mark.parametrize("status", list(Status))
def test_the_agent_of_a_gateway_claims_no_task(world, status: Status) -> None:
    main = Agent(id=new_id(), name="Main", board_id=None, is_board_lead=False)
    change = make_change(world, main, status=status)
    assert error_code(change) == "gateway_agent_claims_no_tasks"
    assert error_code(make_change(world, main, comment="Hello")) is None


def test_what_a_user_may_do_with_a_blocked_task(world) -> None:
    """C6."""
    blocked: dict[str, Any] = {"open_dependency_ids": [new_id()]}
    assigned = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
    for old_status, changes, code in [
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
        (INBOX, {"assignee_id": world.worker.id} | assigned, None),
        (INBOX, {"assigned_agent_id": None, "assignee_id": world.worker.id}, None),
        (INBOX, {"tag_ids": []}, None),
    ]:
        assert (
            error_code(make_change(world, world.alice, old_status, **blocked, **changes)) == code
        ), changes


def test_what_agents_may_do_with_a_blocked_task(world) -> None:
    first, second = new_id(), new_id()
    blocked: dict[str, Any] = {"open_dependency_ids": [first, second]}
    for new_status, code in [
        (INBOX, None),
        (IN_PROGRESS, BLOCKED),
        (REVIEW, BLOCKED),
        (DONE, BLOCKED),
    ]:
        assert (
            error_code(make_change(world, world.worker, IN_PROGRESS, status=new_status, **blocked))
            == code
        )
    assert error_code(make_change(world, world.worker, comment="Waiting.", **blocked)) is None
    assert error_code(make_change(world, world.lead, REVIEW, status=INBOX, **blocked)) == BLOCKED
    assert error_code(make_change(world, world.lead, assigned_agent_id=None, **blocked)) == BLOCKED
    assert error_code(make_change(world, world.lead, tag_ids=[], **blocked)) is None

    error = raised_error(make_change(world, world.worker, status=DONE, **blocked))
    assert isinstance(error, Conflict)
    assert error.details == {"blocked_by_task_ids": [str(first), str(second)]}


def test_an_assignee_must_exist_and_belong_to_the_board(world) -> None:
    for actor in (world.alice, world.lead):
        for agent, code in [
            (None, "agent_not_found"),
            (world.gardener, "assignee_on_other_board"),
            (world.worker, None),
        ]:
            changes = {"assigned_agent_id": agent.id if agent else new_id(), "assignee": agent}
            assert error_code(make_change(world, actor, **changes)) == code
    lead = {"assigned_agent_id": world.lead.id, "assignee": world.lead}
    assert error_code(make_change(world, world.lead, **lead)) == "assignee_is_lead"
    assert error_code(make_change(world, world.alice, **lead)) is None
    other_lead = make_agent("Other lead", world.garden, is_board_lead=True)
    assert (
        error_code(
            make_change(world, world.lead, assigned_agent_id=other_lead.id, assignee=other_lead)
        )
        == "assignee_is_lead"
    )


def test_dependencies_must_be_other_tasks_of_the_board_without_a_cycle(world) -> None:
    for actor in (world.alice, world.lead):
        change = make_change(world, actor, depends_on_task_ids=[new_id()])
        own = replace(change, values={"depends_on_task_ids": [change.task.id]})
        assert isinstance(raised_error(own), Invalid)
        missing = raised_error(replace(change, missing_task_ids=(one := new_id(),)))
        assert isinstance(missing, NotFound)
        assert missing.details == {"missing_task_ids": [str(one)]}
        cycle = raised_error(replace(change, creates_cycle=True))
        assert isinstance(cycle, Conflict)
        done = raised_error(make_change(world, actor, DONE, depends_on_task_ids=[]))
        assert isinstance(done, Conflict)


def test_tags_and_custom_fields_must_exist(world) -> None:
    one = new_id()
    for actor in (world.alice, world.lead):
        error = raised_error(make_change(world, actor, tag_ids=[one], missing_tag_ids=[one]))
        assert isinstance(error, NotFound)
        assert error.details == {"missing_tag_ids": [str(one)]}
    for actor in (world.alice, world.lead, world.worker):
        error = raised_error(make_change(world, actor, custom_field_values={"b": 1, "a": 2}))
        assert isinstance(error, Invalid)
        assert error.details == {"unknown_field_keys": ["a", "b"]}


def test_a_board_can_block_moves_while_an_approval_is_pending(world) -> None:
    pending: dict[str, Any] = {"approval_pending": True}
    moves = [(world.alice, INBOX, DONE), (world.worker, INBOX, DONE), (world.lead, REVIEW, DONE)]
    for actor, old_status, new_status in moves:
        assert (
            error_code(make_change(world, actor, old_status, status=new_status, **pending)) is None
        )
    world.board.block_status_changes_with_pending_approval = True
    for actor, old_status, new_status in moves:
        error = raised_error(make_change(world, actor, old_status, status=new_status, **pending))
        assert (error.code, error.details) == ("approval_pending", {"blocked_by_task_ids": []})
    assert error_code(make_change(world, world.alice, REVIEW, status=REVIEW, **pending)) is None
    unassigned = make_change(
        world, world.alice, IN_PROGRESS, assignee_id=world.worker.id, **pending
    )
    change = replace(unassigned, values={"assigned_agent_id": None})
    assert error_code(change) == "approval_pending"


@pytest.mark.parametrize("old_status", list(Status))
def test_a_board_can_require_review_before_done(world, old_status) -> None:
    world.board.require_review_before_done = True
    code = None if old_status in (REVIEW, DONE) else "review_required"
    for actor in (world.alice, world.worker):
        assert error_code(make_change(world, actor, old_status, status=DONE)) == code


CONTENT = {"title": "Write", "description": None, "fields": {"effort": 3}}
OTHER = CONTENT | {"title": "Delete"}


def linked(status=APPROVED, **fields) -> LinkedApproval:
    """Build a decided approval of a task with the content CONTENT."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "kind": "task.complete",
        "completes_tasks": True,
        "resolved_at": EARLIER,
        "expires_at": None,
        "link_id": new_id(),
        "content": CONTENT,
        "content_hash": hash_content(CONTENT),
        "used_at": None,
    }
    return LinkedApproval(status=status, **(defaults | fields))


def permission(*found, wanted=CONTENT, current=CONTENT, reopened_at=None) -> DonePermission:
    return find_permission(found, current=current, wanted=wanted, reopened_at=reopened_at, at=now())


@pytest.mark.parametrize(
    ("found", "fields", "reason"),
    [
        ([], {}, "none"),
        ([linked()], {}, None),
        ([linked(completes_tasks=False)], {}, "kind"),
        ([linked(content_hash=None, content=None, link_id=None)], {}, "unknown_content"),
        ([linked()], {"wanted": OTHER}, "content"),
        ([linked()], {"wanted": OTHER, "current": OTHER}, "content"),
        ([linked(used_at=EARLIER)], {}, "used"),
        ([linked(expires_at=EARLIER)], {}, "expired"),
        ([linked(expires_at=now() + timedelta(hours=1))], {}, None),
        ([linked(REJECTED, resolved_at=now()), linked()], {}, "rejected"),
        ([linked(REJECTED)], {}, "rejected"),
        ([linked(resolved_at=now()), linked(REJECTED)], {}, None),
        ([linked()], {"reopened_at": now()}, "reopened"),
        ([linked(resolved_at=now())], {"reopened_at": EARLIER}, None),
        ([linked(used_at=EARLIER), linked()], {}, None),
        ([linked(completes_tasks=False), linked()], {}, None),
        ([linked(completes_tasks=False), linked(used_at=EARLIER)], {}, "used"),
    ],
)
def test_which_approval_allows_done_and_why_others_do_not(found, fields, reason) -> None:
    result = permission(*found, **fields)
    assert result.is_granted == (reason is None)
    if reason is not None:
        assert result.reason == reason


def test_the_changed_fields_are_named() -> None:
    wanted = {"title": "Delete", "description": "All", "fields": {}}
    result = permission(linked(), wanted=wanted)
    assert result.changed == ["description", "fields.effort", "title"]
    assert result.changed_by_request
    assert not permission(linked(), wanted=wanted, current=wanted).changed_by_request


def test_a_board_can_require_an_approval_for_done(world) -> None:
    granted, used = DonePermission(approval=linked()), DonePermission(reason="used")
    for required, given, code in [
        (True, DonePermission(), "approval_required"),
        (True, used, "approval_required"),
        (True, granted, None),
        (False, used, None),
    ]:
        world.board.require_approval_for_done = required
        for actor in (world.alice, world.worker, world.lead):
            change = make_change(world, actor, REVIEW, status=DONE, done_permission=given)
            assert error_code(change) == code
    world.board.require_approval_for_done = True
    assert error_code(make_change(world, world.alice, DONE, status=DONE)) is None


def test_a_board_can_require_a_comment_for_review(world) -> None:
    world.board.comment_required_for_review = True
    for actor in (world.alice, world.worker):
        error = raised_error(make_change(world, actor, IN_PROGRESS, status=REVIEW))
        assert (type(error), error.field) == (Invalid, "comment")
        assert (
            error_code(make_change(world, actor, IN_PROGRESS, status=REVIEW, comment="Done."))
            is None
        )
        assert (
            error_code(
                make_change(world, actor, IN_PROGRESS, status=REVIEW, has_assignee_comment=True)
            )
            is None
        )
        assert error_code(make_change(world, actor, REVIEW, status=REVIEW)) is None


def test_the_first_violated_rule_determines_the_error(world) -> None:
    world.board.block_status_changes_with_pending_approval = True
    world.board.require_review_before_done = world.board.require_approval_for_done = True
    change = make_change(world, world.alice, status=DONE, approval_pending=True)
    assert error_code(change) == "approval_pending"
    assert error_code(replace(change, approval_pending=False)) == "review_required"
    assert error_code(replace(change, open_dependency_ids=[new_id()])) == BLOCKED
    assert error_code(replace(change, missing_tag_ids=[new_id()])) == "tag_not_found"


def test_a_new_task_must_pass_the_same_guards(world) -> None:
    def creation_error_code(actor: Any, **facts: Any) -> str | None:
        try:
            check_creation(make_change(world, actor, INBOX, **facts))
        except AppError as error:
            return error.code
        return None

    for actor in (world.alice, world.lead):
        for new_status in Status:
            assert creation_error_code(actor, status=new_status) is None
        assert creation_error_code(actor, status=INBOX, open_dependency_ids=[new_id()]) is None
        assert creation_error_code(actor, status=REVIEW, open_dependency_ids=[new_id()]) == BLOCKED
        assigned = {"assigned_agent_id": world.worker.id, "assignee": world.worker}
        assert (
            creation_error_code(actor, status=INBOX, open_dependency_ids=[new_id()], **assigned)
            == BLOCKED
        )
    world.board.comment_required_for_review = True
    assert creation_error_code(world.alice, status=REVIEW) == "comment_required"
    assert creation_error_code(world.lead, status=REVIEW) is None
    world.board.require_approval_for_done = True
    assert creation_error_code(world.lead, status=DONE) == "approval_required"
    world.board.require_review_before_done = True
    assert creation_error_code(world.alice, status=DONE) == "review_required"
