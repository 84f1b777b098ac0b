"""Rows of every kind whose texts contain a marker."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from core.clock import now
from models import (
    AgentFileVersion,
    AgentQuestion,
    Approval,
    ApprovalPolicy,
    ApprovalStatus,
    Board,
    BoardGroup,
    BoardWebhook,
    BulkTaskChange,
    ChannelKind,
    ClientConnection,
    CodingClient,
    CodingSession,
    Comment,
    CustomField,
    CustomFieldValue,
    DeletedTask,
    Event,
    EventOrigin,
    EventType,
    ExternalIdentity,
    Gateway,
    GatewayRequest,
    GroupNote,
    Invite,
    LinkKind,
    Message,
    Note,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    SavedView,
    Skill,
    SkillPack,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskDescription,
    TaskLink,
    ToolAnswer,
    ToolCall,
    ToolGrant,
    UsageFact,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookPayload,
    new_id,
)
from services.events import EVENT_DEFINITIONS
from services.pickers import ON_ONE_BOARD, PickerKind
from services.tool_facts import read_facts
from tests.support.board_rows import (
    make_board,
    make_custom_field,
    make_tag,
    make_task,
)
from tests.support.gateway_rows import SESSION_KEY
from tests.support.marked_deliveries import (
    make_channels,
    make_notifications,
    make_webhook_endpoints,
    make_webhooks,
)
from tests.support.marked_gateway_objects import (
    SOUL_HANDLE,
    SOUL_SLUG,
    make_gateway_rows,
    make_skills,
    make_souls,
)
from tests.support.marked_texts import MARK, PAYLOAD, SECOND_MARK
from tests.support.onboarding_stages import make_draft
from tests.support.people_rows import make_invite
from tests.support.world import World

RULE_ID = new_id()


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
    decided = {
        "status": ApprovalStatus.APPROVED,
        "decision_note": MARK,
        "decided_at": now(),
    }
    first = {"first_approver_id": world.bob.id, "first_approval_note": MARK}
    rejected = ApprovalStatus.REJECTED
    undone = {"undone_by_user_id": world.alice.id, "undone_status": rejected, "undone_note": MARK}
    made = [
        world.make_approval(task, **fields, **undone),
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


def make_origins(events: list[Event]) -> list[EventOrigin]:
    """Make the origin of each event."""
    names = ("actor_kind", "actor_name", "credential", "credential_id", "address", "cause")
    return [EventOrigin(id=event.id, **dict.fromkeys(names, MARK)) for event in events]


def find_placeholders(kind: EventType) -> set[str]:
    """Return the values that the texts of an event contain."""
    definition = EVENT_DEFINITIONS[kind]
    return {
        "name",
        "to",
        "hash",
        *re.findall(r"%\((\w+)\)s", definition.text + definition.feed_text),
    }


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


def make_coding_sessions(world: World, approval: Approval) -> list[Any]:
    """Make a connection of a client, its session with a call and usage, and a permission."""
    owner = {"organization_id": world.tern.id, "agent_id": world.worker.id}
    at, client = now(), CodingClient.CLAUDE
    session = CodingSession(
        id=new_id(),
        board_id=world.board.id,
        client=client,
        session_key=MARK,
        cwd=f"/home/{MARK}",
        model=MARK,
        started_at=at,
        last_signal_at=at,
        **owner,
    )
    call = {"tool": MARK, "request_hash": "0" * 64, "input_excerpt": MARK, "session": session}
    answer = {"answer": ToolAnswer.ALLOW, "asked_at": at, "answered_at": at}
    facts = read_facts(client, "Bash", {"command": MARK}, session.cwd).to_json()
    kinds = {"facts": facts, "reason": MARK, "rule_name": MARK, "call_key": MARK}
    return [
        ClientConnection(
            id=new_id(), agent_id=world.worker.id, client=client, version=MARK, created_at=at
        ),
        session,
        ToolCall(id=new_id(), board_id=world.board.id, **owner, **call, **answer, **kinds),
        ToolGrant(
            id=new_id(),
            board_id=world.board.id,
            approval=approval,
            created_at=approval.decided_at,
            **owner,
            **call,
        ),
        UsageFact(
            id=new_id(),
            session=session,
            source=MARK,
            source_key=MARK,
            model=MARK,
            used_at=at,
            **owner,
        ),
    ]


def make_all_rows(world: World, gateway: Gateway) -> list[Any]:
    """Make rows of all kinds."""
    tasks = make_tasks(world)
    events = make_events(world, tasks[0])
    approvals = make_approvals(world, tasks[0])
    return [
        *tasks,
        *approvals,
        *make_coding_sessions(world, approvals[-2]),
        *make_conversations(world),
        *make_questions(world, tasks[0]),
        *make_gateway_rows(world, gateway),
        *make_organization_rows(world),
        *make_views(world),
        BulkTaskChange(
            id=new_id(),
            board_id=world.board.id,
            user_id=world.alice.id,
            is_deletion=False,
            tasks=[{"id": str(tasks[0].id), "before": {}, "after": {}}],
            created_at=now(),
        ),
        *make_channels(world),
        *make_webhooks(world),
        *make_webhook_endpoints(world),
        *make_souls(),
        *make_skills(world, gateway),
        *events,
        *make_origins(events),
        *make_notifications(world),
    ]


def collect_page_ids(
    world: World, gateway: Gateway, rows: Sequence[Any]
) -> Mapping[str, Sequence[Any]]:
    """Return the ids of rows by the name of the parameter in addresses of pages."""

    def ids(kind: type) -> list[Any]:
        return [row.id for row in rows if isinstance(row, kind)]

    return {
        "board_id": [world.board.id, world.garden.id, *ids(Board)],
        "task_id": ids(Task)[:1],
        "approval_id": ids(Approval),
        "agent_id": [world.worker.id, world.lead.id],
        "message_id": ids(Message),
        "session_id": ids(CodingSession),
        "grant_id": ids(ToolGrant),
        "note_id": ids(Note)[-1:],
        "group_note_id": ids(GroupNote)[-1:],
        "notification_id": ids(Notification)[:1],
        "gateway_id": [gateway.id],
        "tag_id": ids(Tag),
        "field_id": ids(CustomField),
        "group_id": ids(BoardGroup),
        "request_id": ids(GatewayRequest),
        "question_id": ids(AgentQuestion),
        "rule_id": [RULE_ID],
        "view_id": ids(SavedView),
        "change_id": ids(BulkTaskChange),
        "webhook_id": ids(BoardWebhook),
        "payload_id": ids(WebhookPayload),
        "member_id": [world.bob_member.id, world.alice_member.id],
        "invite_id": ids(Invite),
        "name": ["SOUL.md"],
        "version_id": ids(AgentFileVersion),
        "slug": [MARK],
        "channel_id": ids(NotificationChannel),
        "endpoint_id": ids(WebhookEndpoint),
        "webhook_delivery_id": ids(WebhookDelivery),
        "delivery_id": ids(NotificationDelivery),
        "kind": [*ChannelKind],
        "picker_kind": [kind for kind in PickerKind if kind not in ON_ONE_BOARD],
        "handle": [SOUL_HANDLE],
        "skill_id": ids(Skill),
        "pack_id": ids(SkillPack),
        "soul": [SOUL_SLUG],
        "key": [quote(SESSION_KEY, safe="")],
    }
