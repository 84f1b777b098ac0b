"""Rows of every kind whose texts contain a marker."""

import json
from collections.abc import Mapping
from string import Formatter
from typing import Any

from core.clock import now
from models import (
    AgentFileVersion,
    AgentQuestion,
    ApprovalPolicy,
    ApprovalStatus,
    Board,
    BoardGroup,
    ChannelKind,
    Comment,
    CustomFieldValue,
    DeletedTask,
    DeliveryState,
    Event,
    EventType,
    ExternalIdentity,
    FileAuthor,
    Gateway,
    GroupNote,
    LinkKind,
    MessageState,
    Note,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    PayloadState,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RequestKind,
    RequestState,
    RunStatus,
    SavedView,
    Soul,
    SoulDirectory,
    Status,
    TagAssignment,
    Task,
    TaskDependency,
    TaskDescription,
    TaskLink,
    WebhookAction,
    new_id,
)
from models.soul import LIBRARY
from services.activity.event_texts import WORDING
from services.channels.store import encrypt_config
from services.souls.store import get_bundled_edition
from tests.support.onboarding_stages import make_draft
from tests.support.skill_rows import (
    SKILL_ID,
    make_gateway_skill,
    make_pack,
    make_pack_update,
    make_skill,
    make_version,
)
from tests.support.webhook_rows import make_delivery, make_endpoint
from tests.support.world import (
    CIPHER,
    World,
    make_board,
    make_custom_field,
    make_gateway_request,
    make_invite,
    make_message,
    make_notification,
    make_run,
    make_tag,
    make_task,
    make_webhook,
    make_webhook_payload,
)

MARK = "xssmark"
RULE_ID = new_id()
SOUL_HANDLE, SOUL_SLUG = "mission-control", "marked"
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
    versions = [
        TaskDescription(id=new_id(), task=task, text=f"{number} {MARK}", **author, **times)
        for number, author in enumerate(authors)
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
        make_task_link(task),
        make_deleted_task(board),
        *comments,
        waits,
        *versions,
    ]


def make_task_link(task: Task) -> TaskLink:
    """Make a link to a pull request."""
    names = dict.fromkeys(("key", "repository", "reference", "title", "commit"), MARK)
    times = {"created_at": now(), "updated_at": now()}
    return TaskLink(
        id=new_id(),
        board_id=task.board_id,
        task=task,
        kind=LinkKind.CHANGE,
        url=f"https://forge.example/{MARK}",
        state="open",
        checks={MARK: "failing"},
        checks_state="failing",
        **names,
        **times,
    )


def make_deleted_task(board: Board) -> DeletedTask:
    """Make a task in the trash."""
    rows = {"tasks": [{"title": MARK, "status": Status.REVIEW}], "task_comments": []}
    return DeletedTask(
        id=new_id(), board_id=board.id, task_id=new_id(), rows=rows, deleted_at=now()
    )


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


def make_questions(world: World, task: Task) -> list[AgentQuestion]:
    """Make an open question of a worker, and an answered one."""
    texts = {"content": MARK, "correlation_id": MARK, "created_at": now()}
    answer = {"answer": MARK, "answered_at": now(), "answered_by_user_id": world.bob.id}
    ids = {"board_id": world.board.id, "agent_id": world.worker.id}
    return [AgentQuestion(id=new_id(), task=task, **texts, **ids, **more) for more in ({}, answer)]


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
        AgentFileVersion(
            agent_id=worker.id,
            name="SOUL.md",
            content=f"{MARK}\n",
            digest="",
            author=FileAuthor.GATEWAY,
            created_at=now(),
        ),
        make_message(worker, f"BOARD CHAT\n{MARK}", kind=MARK, **failed),
    ]


def make_events(world: World, task: Task) -> list[Event]:
    """Make an event of every type."""
    places = {"board_id": world.board.id, "task_id": task.id, "agent_id": world.worker.id}
    moved = {"left": Status.INBOX, "entered": Status.REVIEW}
    statuses = {EventType.TASK_STATUS_CHANGED: moved}
    return [
        Event(
            id=new_id(),
            type=kind,
            organization_id=world.tern.id,
            data=dict.fromkeys(find_placeholders(kind), MARK) | statuses.get(kind, {}),
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
    invite = make_invite(world.tern, f"{MARK}@example.com")
    return [*policies, identity, invite, *make_group(world, **named, **times)]


def make_group(world: World, **fields: Any) -> list[Any]:
    """Make a board group with chat messages and notes; a group without any is the second row."""
    group = BoardGroup(id=new_id(), organization_id=world.tern.id, **fields)
    empty = BoardGroup(id=new_id(), organization_id=world.tern.id, **(fields | {"slug": "empty"}))
    times = {"created_at": now(), "updated_at": now()}
    authors = [{"agent_id": world.worker.id}, {"user_id": world.bob.id}]
    notes = [
        GroupNote(
            id=new_id(),
            group=group,
            content=MARK,
            tags=["chat", "broadcast"] if is_chat else [MARK],
            is_chat=is_chat,
            source=MARK,
            **author,
            **times,
        )
        for is_chat in (True, False)
        for author in authors
    ]
    return [group, empty, *notes]


def make_views(world: World) -> list[Any]:
    """Make a shared view of a board, and one of a user."""
    times = {"created_at": now(), "updated_at": now()}
    query = "&".join(f"{name}={MARK}" for name in ("q", "tag", "field", "value"))
    return [
        SavedView(id=new_id(), board_id=world.board.id, user_id=id, name=MARK, query=query, **times)
        for id in (None, world.alice.id)
    ]


def make_channels(world: World) -> list[Any]:
    """Make channels of Alice in all states, with messages that were sent on them."""
    at = now()
    times = {"created_at": at, "updated_at": at}
    states: list[dict[str, Any]] = [
        {"kind": ChannelKind.SLACK, "failing_since": at, "last_error": MARK, "confirmed_at": at},
        {"kind": ChannelKind.EMAIL},
    ]
    configs = [{"url": f"https://{MARK}/"}, {"address": MARK}]
    rows: list[Any] = []
    for state, config in zip(states, configs, strict=True):
        id = new_id()
        rows.append(
            NotificationChannel(
                id=id,
                user_id=world.alice.id,
                organization_id=world.tern.id,
                name=MARK,
                encrypted_config=encrypt_config(CIPHER, id, config),
                **state,
                **times,
            )
        )
    sent = {"request": MARK, "response": MARK, "last_error": MARK, "next_attempt_at": at}
    delivery = NotificationDelivery(
        id=new_id(), channel_id=rows[0].id, state=DeliveryState.FAILED, created_at=at, **sent
    )
    return [*rows, delivery]


def make_webhooks(world: World) -> list[Any]:
    """Make a webhook with a payload that is JSON, one that is text, and one that has failed."""
    template = dict.fromkeys(("title", "description", "tags", "due", "condition_value"), MARK)
    webhook = make_webhook(
        world.board,
        MARK,
        agent_id=world.worker.id,
        signature_header=MARK,
        action=WebhookAction.TASK,
        template=template,
    )
    headers = {"content-type": MARK, "x-github-event": MARK}
    fields = {"headers": headers, "content_type": MARK, "source_ip": MARK}
    contents: list[dict[str, Any]] = [
        {"payload": {MARK: [MARK]}, "delivery_id": MARK},
        {"payload": MARK},
        {"payload": None, "state": PayloadState.FAILED, "error": MARK},
    ]
    return [webhook, *(make_webhook_payload(webhook, **fields, **one) for one in contents)]


def make_souls() -> list[Any]:
    """Make a soul in the place of the bundled library."""
    library = SoulDirectory(id=new_id(), address=LIBRARY, edition=get_bundled_edition())
    texts = {"title": MARK, "description": MARK, "content": f"# {MARK}\n\n[{MARK}]({MARK})"}
    names = {"handle": SOUL_HANDLE, "slug": SOUL_SLUG}
    return [library, Soul(id=new_id(), directory=library, **names, **texts)]


def make_notifications(world: World) -> list[Any]:
    """Make a notification of each kind for Alice, and of each cause that has its own text."""
    data = dict.fromkeys(("question", "title", "name", "url", "reason", "excerpt"), MARK)
    fields = {"data": data, "actor_agent_id": world.worker.id}
    hold = {"name": MARK, "cause": "loop", "values": {"limit": "a day", "count": 3, "sender": MARK}}
    more: list[dict[str, Any]] = [
        {"kind": NotificationKind.AGENT_HELD, "data": hold},
        {"kind": NotificationKind.AGENT_HELD, "data": {"name": MARK, "recent": 9, "pending": 3}},
        {"kind": NotificationKind.DECIDED, "data": data | {"status": ApprovalStatus.REJECTED}},
        *(
            {"data": {"name": MARK, "kind": kind, "request_id": str(new_id())}}
            for kind in RequestKind
        ),
    ]
    given = [*({"kind": kind} for kind in NotificationKind), *more]
    return [make_notification(world.board, world.alice, **(fields | one)) for one in given]


def make_webhook_endpoints(world: World) -> list[Any]:
    """Make a webhook that fails, with deliveries."""
    url = f"https://receiver.example/{MARK}"
    endpoint = make_endpoint(world.tern, description=MARK, url=url, failing_since=now())
    results = [
        {"outcome": "tls", "detail": MARK, "status": None},
        {"outcome": "rejected", "payload": MARK, "response": MARK, "event_type": MARK},
    ]
    return [endpoint, *(make_delivery(endpoint, **result) for result in results)]


def make_skills(world: World, gateway: Gateway) -> list[Any]:
    """Make packs with an update, and skills with files, on a gateway and not."""
    changes = [{"name": MARK, "path": MARK, "id": None, "has_new_files": True}]
    fields = {"name": MARK, "description": MARK, "source_url": f"upload:{MARK}", "branch": MARK}
    more = {"extra": {MARK: MARK}, "revision": MARK, "archive_digest": MARK}
    pack = make_pack(world.tern, **fields, **more, warnings=[["link", MARK]])
    update = make_pack_update(
        pack, added=changes, changed=changes, removed=changes, warnings=[["link", MARK]]
    )
    update.archive_digest = update.revision = MARK
    texts = dict.fromkeys(("category", "risk", "source", "folder", "digest", "revision"), MARK)
    skill = make_skill(
        world.tern,
        pack,
        id=SKILL_ID,
        name=MARK,
        description=MARK,
        source_url=f"https://skills.example/{MARK}",
        extra={MARK: MARK},
        **texts,
    )
    version = make_version(
        skill, {MARK: MARK}, digest=MARK, revision=MARK, source_url=f"https://x.example/{MARK}"
    )
    row = make_gateway_skill(gateway, skill, digest=MARK, installed_digest=MARK)
    return [pack, update, skill, version, row]


def make_all_rows(world: World, gateway: Gateway) -> list[Any]:
    """Make rows of all kinds."""
    tasks = make_tasks(world)
    return [
        *tasks,
        *make_approvals(world, tasks[0]),
        *make_conversations(world),
        *make_questions(world, tasks[0]),
        *make_gateway_rows(world, gateway),
        *make_organization_rows(world),
        *make_views(world),
        *make_channels(world),
        *make_webhooks(world),
        *make_webhook_endpoints(world),
        *make_souls(),
        *make_skills(world, gateway),
        *make_events(world, tasks[0]),
        *make_notifications(world),
    ]
