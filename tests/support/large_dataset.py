"""A large dataset, to test how statements depend on the number of rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    Agent,
    Approval,
    ApprovalTask,
    AuditRecord,
    Base,
    Board,
    BoardAccess,
    BoardCustomField,
    BoardGroup,
    BoardWebhook,
    Comment,
    CustomField,
    Event,
    EventOrigin,
    EventType,
    Gateway,
    GatewayRequest,
    GroupNote,
    Invite,
    Member,
    Message,
    Note,
    Organization,
    ReadKind,
    ReadMarker,
    RequestKind,
    Run,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskWatcher,
    User,
    WebhookPayload,
    new_id,
)
from services import souls
from tests.support import marked_objects
from tests.support.api_objects import ApiObjects, create_api_objects
from tests.support.world import World

DISTANT = datetime(2100, 1, 1, tzinfo=UTC)
Rows = Mapping[type[Base], Sequence[dict[str, Any]]]


async def create_large_dataset(session: AsyncSession, world: World, size: int) -> ApiObjects:
    """Create `size` rows of every kind beside the API objects."""
    objects = await create_api_objects(session, world)
    objects.task.auto_reason = f"lead_agent:{world.lead.id}"  # so that the lead may comment on it
    world.board.max_agents = size + 500
    session.add(world.board)
    await session.flush()
    await souls.load_directory(session, "")  # the first call imports the library
    for rows in (
        _build_boards_and_users(objects, size),
        _build_tasks_and_notes(objects, size),
        _build_task_details(objects, size),
        _build_organization_rows(objects, size),
        _build_webhooks(objects, size),
        _build_history(objects, size),
    ):
        for model, values in rows.items():
            await session.execute(insert(model), values)
    return objects


async def create_many_of_everything(
    session: AsyncSession, world: World, size: int
) -> tuple[ApiObjects, list[Any]]:
    """Create `size` rows of every kind; return the objects for the API, and the rows for pages."""
    objects = await create_large_dataset(session, world, size)
    await session.execute(text("delete from soul_directories"))  # the marked one is stored
    rows = marked_objects.make_all_rows(world, objects.gateway)
    rows = [row for row in rows if "Skill" not in type(row).__name__]  # their ids are used
    session.add_all(rows)
    await session.flush()
    return objects, rows


def _build_boards_and_users(objects: ApiObjects, size: int) -> Rows:
    world, at = objects.world, {"created_at": now(), "updated_at": now()}
    organization_ids, board_ids, user_ids = ([new_id() for _ in range(size)] for _ in range(3))
    boards = [
        {
            "id": id,
            "organization_id": world.tern.id,
            "name": f"Board {n}",
            "slug": f"board-{n}",
            "board_group_id": objects.group.id,
            "max_agents": 500,
            **at,
        }
        for n, id in enumerate(board_ids)
    ]
    users = [
        {"id": id, "clerk_user_id": f"user-{n}", "name": f"User {n}", **at}
        for n, id in enumerate(user_ids)
    ]
    members = [
        {"organization_id": id, "user_id": world.alice.id, "role": "owner", **at}
        for id in organization_ids
    ]
    members += [
        {"organization_id": world.tern.id, "user_id": id, "role": "member", **at} for id in user_ids
    ]
    accesses = [
        {"organization_member_id": world.alice_member.id, "board_id": id, "can_write": True, **at}
        for id in board_ids
    ]
    groups = [
        {
            "id": new_id(),
            "organization_id": world.tern.id,
            "name": f"Group {n}",
            "slug": f"group-{n}",
            **at,
        }
        for n in range(size)
    ]
    return {
        BoardGroup: groups,
        Organization: [{"id": id, "name": f"O {id}", **at} for id in organization_ids],
        Board: boards,
        User: users,
        Member: members,
        BoardAccess: accesses,
    }


def _build_tasks_and_notes(objects: ApiObjects, size: int) -> Rows:
    world, at = objects.world, {"created_at": now(), "updated_at": now()}
    agents, tasks = [], []
    for n in range(size):
        agent_id = new_id()
        agents.append(
            {
                "id": agent_id,
                "organization_id": world.tern.id,
                "board_id": world.board.id,
                "name": f"Agent {n}",
                **at,
            }
        )
        tasks.append(
            {
                "id": new_id(),
                "board_id": world.board.id,
                "title": f"Task {n}",
                "status": Status.IN_PROGRESS if n % 2 else Status.INBOX,
                "assigned_agent_id": agent_id if n % 3 == 1 else world.other_worker.id,
                **at,
            }
        )
    notes = [{"content": f"Note {n}", "is_chat": bool(n % 2), **at} for n in range(size)]
    dependencies = [
        {
            "board_id": world.board.id,
            "task_id": task["id"],
            "depends_on_task_id": objects.task.id,
            "created_at": now(),
        }
        for task in tasks
    ]
    approvals, links = [], []
    for task in tasks:
        id = new_id()
        approvals.append(
            {
                "id": id,
                "board_id": world.board.id,
                "task_id": task["id"],
                "action_type": "task.complete",
                "payload": {"reason": "It is so."},
                "confidence": 90.0,
                "created_at": now(),
            }
        )
        links.append({"approval_id": id, "task_id": task["id"], "created_at": now()})
    return {
        Agent: agents,
        Task: tasks,
        Note: [note | {"board_id": world.board.id} for note in notes],
        GroupNote: [note | {"board_group_id": objects.group.id} for note in notes],
        TaskDependency: dependencies,
        Approval: approvals,
        ApprovalTask: links,
    }


def _build_task_details(objects: ApiObjects, size: int) -> Rows:
    world, at = objects.world, {"created_at": now(), "updated_at": now()}
    tags = [
        {"id": new_id(), "organization_id": world.tern.id, "name": f"T{n}", "slug": f"t{n}", **at}
        for n in range(size)
    ]
    comments = [
        {
            "id": new_id(),
            "board_id": world.board.id,
            "task_id": objects.task.id,
            "message": f"Comment {n}",
            "agent_id": world.worker.id if n % 2 else None,
            "user_id": None if n % 2 else world.alice.id,
            "created_at": now(),
        }
        for n in range(size)
    ]
    events = [
        {
            "id": comment["id"],
            "type": EventType.TASK_COMMENT,
            "organization_id": world.tern.id,
            "board_id": world.board.id,
            "task_id": objects.task.id,
            "agent_id": comment["agent_id"],
            "user_id": comment["user_id"],
            "data": {"title": objects.task.title},
            "created_at": now(),
        }
        for comment in comments
    ]
    tagged = [
        {"task_id": objects.task.id, "tag_id": tag["id"], "created_at": now()} for tag in tags
    ]
    return {Tag: tags, TagAssignment: tagged, Comment: comments, Event: events}


def _build_organization_rows(objects: ApiObjects, size: int) -> Rows:
    """Build rows of an organization: fields, invitations, gateways, messages, runs."""
    world, at = objects.world, {"created_at": now(), "updated_at": now()}
    organization_rows = [
        {"id": new_id(), "organization_id": world.tern.id, **at} for _ in range(size)
    ]
    fields = [
        row | {"field_key": f"key-{n}", "label": f"Field {n}"}
        for n, row in enumerate(organization_rows)
    ]
    field_boards = [
        {
            "board_id": world.board.id,
            "task_custom_field_definition_id": field["id"],
            "created_at": now(),
        }
        for field in fields
    ]
    invites = [
        row | {"invited_email": f"{n}@example.com", "token_hash": str(n), "expires_at": DISTANT}
        for n, row in enumerate(organization_rows)
    ]
    gateways = [
        row
        | {
            "name": f"G {n}",
            "url": "ws://127.0.0.1:9",
            "workspace_root": "/",
            "encrypted_device": "x",
        }
        for n, row in enumerate(organization_rows)
    ]
    messages = [
        {
            "organization_id": world.tern.id,
            "agent_id": agent.id,
            "board_id": world.board.id,
            "kind": "BOARD CHAT",
            "content": "BOARD CHAT",
            "from_user_id": world.alice.id,
            "key": f"crowd-{n}",
            "created_at": now(),
        }
        for n in range(size)
        for agent in (world.lead, world.other_worker, objects.main_agent)
    ]
    requests = [
        {
            "organization_id": world.tern.id,
            "gateway_id": objects.gateway.id,
            "gateway_name": "Harbour",
            "request_id": f"crowd-{n}",
            "kind": RequestKind.EXEC,
            "agent_id": world.worker.id,
            "board_id": world.board.id if n % 2 else None,
            "run_id": f"crowd-{n}",
            "exact": f"ls {n}",
            "allowed_decisions": ["deny"],
            "asked_at": now(),
            "expires_at": DISTANT,
            "created_at": now(),
        }
        for n in range(size)
    ]
    runs = [
        {
            "organization_id": world.tern.id,
            "gateway_id": objects.gateway.id,
            "agent_id": world.other_worker.id,
            "task_id": objects.task.id,
            "run_id": f"crowd-{n}",
            "session_key": "agent:main:main",
            "tool_calls": [],
            "tail": "",
            "started_at": now(),
            "updated_at": now(),
        }
        for n in range(size)
    ]
    return {
        CustomField: fields,
        BoardCustomField: field_boards,
        Invite: invites,
        Gateway: gateways,
        Message: messages,
        GatewayRequest: requests,
        Run: runs,
    }


def _build_history(objects: ApiObjects, size: int) -> Rows:
    """Build records of the audit and done tasks, with who watched them, read them and did them."""
    world, at = objects.world, {"created_at": now(), "updated_at": now()}
    tasks = [
        {
            "id": new_id(),
            "board_id": world.board.id,
            "title": f"Done task {n}",
            "status": Status.DONE,
            "started_at": now(),
            "done_at": now(),
            **at,
        }
        for n in range(size)
    ]
    of_user = {"user_id": world.alice.id}
    events = [
        {
            "id": new_id(),
            "type": EventType.TASK_COMMENT,
            "organization_id": world.tern.id,
            "board_id": world.board.id,
            "task_id": task["id"],
            "data": {"title": task["title"]},
            "created_at": now(),
            **of_user,
        }
        for task in tasks
    ]
    actor = {"actor_kind": "user", "actor_id": world.alice.id, "actor_name": "Alice"}
    origins = [{"id": event["id"], "credential": "session", **actor} for event in events]
    records = [
        {
            "id": new_id(),
            "organization_id": id,
            "action": EventType.TAG_CREATED,
            "object_kind": "tag",
            "object_id": str(objects.tag.id),
            "object_name": f"Tag {n}",
            **actor,
        }
        for n in range(size)
        for id in (world.tern.id, None)
    ]
    markers = {"kind": ReadKind.COMMENTS, "seen_seq": 1, "seen_at": now()}
    return {
        Task: tasks,
        TaskWatcher: [{"task_id": task["id"], "created_at": now(), **of_user} for task in tasks],
        ReadMarker: [
            {"task_id": task["id"], "board_id": world.board.id, **markers, **of_user}
            for task in tasks
        ],
        Event: events,
        EventOrigin: origins,
        AuditRecord: records,
    }


def _build_webhooks(objects: ApiObjects, size: int) -> Rows:
    """Build webhooks of Launch, and payloads of one of them."""
    hook, at = objects.webhook, {"created_at": now(), "updated_at": now()}
    fields = {"board_id": hook.board_id, "encrypted_secret": hook.encrypted_secret}
    payload = {"board_id": hook.board_id, "webhook_id": hook.id, "payload": {}, "headers": {}}
    received = {"source_ip": "192.0.2.7", "size": 2, "received_at": now(), "state": "received"}
    return {
        BoardWebhook: [
            {"id": new_id(), "description": f"Webhook {n}", **fields, **at}
            for n in range(min(size, 40))  # a board has at most 50
        ],
        WebhookPayload: [{"id": new_id(), **payload, **received} for _ in range(size)],
    }
