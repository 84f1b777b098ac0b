"""The rules for changing and creating tasks, without a database."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, NotFound
from models import Agent, Status, new_id
from tests.support.board_rows import make_agent
from tests.support.task_changes import (
    BLOCKED,
    DONE,
    IN_PROGRESS,
    INBOX,
    REVIEW,
    error_code,
    make_change,
    raised_error,
    world,
)

__all__ = ["world"]

MOVES = list(product(Status, Status))


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


def test_a_person_assigns_a_task_only_to_the_agent_of_the_gateway_of_the_board(world) -> None:
    """That of another one cannot see the task."""
    main = Agent(id=new_id(), name="Main", board_id=None, gateway_id=new_id())

    def assign() -> str | None:
        assigned = {"assigned_agent_id": main.id, "assignee": main}
        return error_code(make_change(world, world.alice, **assigned))

    world.board.gateway_id = main.gateway_id
    assert assign() is None
    for world.board.gateway_id in (None, new_id()):
        assert assign() == "assignee_on_other_board"


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
