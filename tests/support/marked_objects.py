"""Rows of every kind whose texts contain a marker."""

import json
from collections.abc import Mapping
from string import Formatter
from typing import Any

from core.clock import now
from models import (
    ApprovalPolicy,
    ApprovalStatus,
    Board,
    BoardGroup,
    Comment,
    CustomFieldValue,
    Event,
    EventType,
    ExternalIdentity,
    Gateway,
    MessageState,
    Note,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RequestKind,
    RequestState,
    RunStatus,
    Status,
    TagAssignment,
    Task,
    TaskDependency,
    new_id,
)
from services.activity.event_texts import WORDING
from tests.support.onboarding_stages import make_draft
from tests.support.world import (
    World,
    make_board,
    make_custom_field,
    make_gateway_request,
    make_invite,
    make_message,
    make_run,
    make_tag,
    make_task,
)

MARK = "xssmark"
RULE_ID = new_id()
SECOND_MARK = f"2 {MARK}"  # where two values must differ
DIFF = f"--- a/{MARK}\n+++ b/{MARK}\n@@ -1,2 +1,2 @@\n {MARK}\n-{MARK}\n+{MARK} {MARK}\n"
QUESTIONS = [
    {
        "questionId": MARK,
        "header": MARK,
        "question": MARK,
        "options": [{"label": MARK, "description": MARK}, {"label": SECOND_MARK}],
        "isOther": True,
        "multiSelect": True,
    }
]
PAYLOAD: Mapping[str, Any] = {
    key: MARK for key in ("title", "question", "summary", "reason", "command", "url", "risk", MARK)
} | {"diff": DIFF, "nested": {MARK: [MARK, {MARK: MARK}]}, "changes": [{"from": MARK, "to": MARK}]}


def make_tasks(world: World) -> list[Any]:
    """Make tasks with all that belongs to them; the first row is the task with everything."""
    board = world.board
    fields = {"description": f"{MARK}\n\n[{MARK}]({MARK})", "auto_reason": MARK}
    task = make_task(board, MARK, **fields, assignee=world.worker)
    others = [make_task(board, SECOND_MARK, status=status, **fields) for status in Status]
    tag, times = make_tag(world.tern, MARK, slug=MARK, description=MARK), {"created_at": now()}
    field, *bindings = make_custom_field(board, field_key=MARK, label=MARK, description=MARK)
    field.default_value, field.validation_regex = MARK, MARK
    value = CustomFieldValue(
        id=new_id(), task=task, field=field, value=MARK, **times, updated_at=now()
    )
    authors = [{"agent_id": world.worker.id}, {"user_id": world.alice.id}]
    comments = [
        Comment(id=new_id(), task=task, board_id=board.id, message=MARK, **author, **times)
        for author in authors
    ]
    waits = TaskDependency(id=new_id(), board_id=board.id, task=task, depends_on=others[0], **times)
    return [
        task,
        *others,
        tag,
        TagAssignment(id=new_id(), task=task, tag=tag, **times),
        field,
        *bindings,
        value,
        *comments,
        waits,
    ]


def make_approvals(world: World, task: Task) -> list[Any]:
    """Make a pending, a half-approved and a decided approval of a task."""
    verdict = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name=MARK)
    fields: dict[str, Any] = {
        "action_type": f"task.{MARK}",
        "payload": dict(PAYLOAD),
        "rubric_scores": {MARK: 3},
        "agent_id": world.worker.id,
        "policy_verdict": verdict,
    }
    decided = {"status": ApprovalStatus.APPROVED, "decision_note": MARK}
    first = {"first_approver_id": world.bob.id, "first_approval_note": MARK}
    made = [
        world.make_approval(task, **fields),
        world.make_approval(task, **fields, **first, first_approved_at=now()),
        world.make_approval(task, **fields, **decided, decided_by_user_id=world.bob.id),
    ]
    for _, link in made:
        link.content = {"title": MARK, "description": SECOND_MARK, "fields": {MARK: MARK}}
    return [row for rows in made for row in rows]


def make_conversations(world: World) -> list[Any]:
    """Make chat messages, notes, and an onboarding with a question and one with a draft."""
    times = {"created_at": now(), "updated_at": now()}
    authors = [{"agent_id": world.worker.id}, {"user_id": world.bob.id}]
    notes = [
        Note(
            id=new_id(),
            board=world.board,
            content=MARK,
            tags=["chat"] if is_chat else [MARK],
            is_chat=is_chat,
            source=MARK,
            **author,
            **times,
        )
        for is_chat in (True, False)
        for author in authors
    ]
    return [*notes, *make_onboarding(world, world.garden), *make_draft_board(world)]


def make_onboarding(world: World, board: Board, **fields: Any) -> list[Any]:
    """Make an onboarding whose last message is a question."""
    times = {"created_at": now(), "updated_at": now()}
    session = OnboardingSession(id=new_id(), board=board, **times, **fields)
    question = json.dumps({"question": MARK, "options": [MARK, SECOND_MARK]})
    texts = [
        (OnboardingRole.ASSISTANT, question),
        (OnboardingRole.USER, MARK),
        (OnboardingRole.ASSISTANT, question),
    ]
    return [
        session,
        *(
            OnboardingMessage(
                id=new_id(), session=session, role=role, content=content, created_at=now()
            )
            for role, content in texts
        ),
    ]


def make_draft_board(world: World) -> list[Any]:
    """Make a board whose onboarding has a draft; the first row is the board."""
    board = make_board(MARK, world.tern, objective=MARK, board_type="goal")
    board.success_metrics, board.goal_source = {MARK: MARK}, MARK
    completed = OnboardingStatus.COMPLETED
    draft = make_draft(MARK)
    return [board, *make_onboarding(world, board, status=completed, draft_goal=draft)]


def make_gateway_rows(world: World, gateway: Gateway) -> list[Any]:
    """Make requests, runs and messages of the agents of a gateway."""
    worker, texts = world.worker, {"exact": MARK, "cwd": MARK, "session_key": MARK}
    context = {
        **dict.fromkeys(("warning", "path", "host", "node", "plan"), MARK),
        "argv": [MARK],
        "environment": {MARK: MARK},
    }
    answered = {
        "state": RequestState.ANSWERED,
        "answer": {"decision": "deny", "answers": {MARK: [MARK]}},
        "answered_by": MARK,
        "answered_at": now(),
        "error": MARK,
    }
    asked = {"kind": RequestKind.QUESTION, "exact": json.dumps(QUESTIONS)}
    call = {"id": "1", "name": MARK, "title": MARK, "started_at": "2026-01-01T00:00:00Z"}
    run: dict[str, Any] = {
        "phase": MARK,
        "tool": MARK,
        "tool_title": MARK,
        "tail": MARK,
        "error": MARK,
    }
    run["tool_calls"] = [call | {"detail": MARK, "status": "failed", "error": MARK}]
    failed = {"state": MessageState.FAILED, "last_error": MARK, "board_id": world.board.id}
    return [
        make_gateway_request(gateway, worker, context=context, **texts),
        make_gateway_request(gateway, worker, context=context, **texts, **answered),
        make_gateway_request(gateway, worker, **asked),
        make_run(gateway, worker, **run),
        make_run(gateway, worker, **run, status=RunStatus.FAILED, ended_at=now()),
        make_message(worker, f"BOARD CHAT\n{MARK}", kind=MARK, **failed),
    ]


def make_events(world: World, task: Task) -> list[Event]:
    """Make an event of every type."""
    places = {"board_id": world.board.id, "task_id": task.id, "agent_id": world.worker.id}
    return [
        Event(
            id=new_id(),
            type=kind,
            organization_id=world.tern.id,
            data=dict.fromkeys(find_placeholders(kind), MARK),
            created_at=now(),
            **places,
        )
        for kind in EventType
    ]


def find_placeholders(kind: EventType) -> set[str]:
    """Return the values that the texts of an event contain."""
    parsed = (part for text in WORDING[kind] for part in Formatter().parse(text))
    return {name for _, name, *_ in parsed if name} | {"name"}


def make_organization_rows(world: World) -> list[Any]:
    """Make the group, policies, invitation, token and account of the organization's users."""
    times = {"created_at": now(), "updated_at": now()}
    named = {"name": MARK, "slug": MARK, "description": MARK}
    rule = PolicyRule(id=RULE_ID, name=MARK, effect=PolicyEffect.ASK_ONE, kinds=(MARK,))
    owners = [{}, {"board_id": world.board.id}]
    policies = [
        ApprovalPolicy(
            id=new_id(), organization_id=world.tern.id, rules=[rule], updated_at=now(), **owner
        )
        for owner in owners
    ]
    identity = ExternalIdentity(
        id=new_id(), user=world.alice, issuer=MARK, subject=MARK, created_at=now()
    )
    group = BoardGroup(id=new_id(), organization_id=world.tern.id, **named, **times)
    return [group, *policies, identity, make_invite(world.tern, f"{MARK}@example.com")]


def make_all_rows(world: World, gateway: Gateway) -> list[Any]:
    """Make rows of all kinds."""
    tasks = make_tasks(world)
    return [
        *tasks,
        *make_approvals(world, tasks[0]),
        *make_conversations(world),
        *make_gateway_rows(world, gateway),
        *make_organization_rows(world),
        *make_events(world, tasks[0]),
    ]
