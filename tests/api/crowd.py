"""A world with much of everything, to see what grows with it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import (
    Agent,
    Approval,
    ApprovalTask,
    Base,
    Board,
    BoardAccess,
    BoardCustomField,
    BoardGroup,
    Comment,
    CustomField,
    Event,
    EventType,
    Gateway,
    GatewayRequest,
    GroupNote,
    Invite,
    Member,
    Message,
    Note,
    Organization,
    RequestKind,
    Run,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    User,
    new_id,
)
from services import souls
from tests.api.walking import Things, things
from tests.world import World

DISTANT = datetime(2100, 1, 1, tzinfo=UTC)
Rows = Mapping[type[Base], Sequence[dict[str, Any]]]


async def a_crowd(session: AsyncSession, world: World, size: int) -> Things:
    """Put `size` of everything beside the things that a path can name."""
    there = await things(session, world)
    there.task.auto_reason = f"lead_agent:{world.lead.id}"  # so that it may comment on it
    world.board.max_agents = size + 500
    session.add(world.board)
    await session.flush()
    await souls.look(session, "")  # the first look at a new library brings it in
    for rows in (
        _places(there, size),
        _work(there, size),
        _around_the_task(there, size),
        _at_hand(there, size),
    ):
        for model, values in rows.items():
            await session.execute(insert(model), values)
    return there


def _places(there: Things, size: int) -> Rows:
    world, at = there.world, {"created_at": now(), "updated_at": now()}
    organization_ids, board_ids, user_ids = ([new_id() for _ in range(size)] for _ in range(3))
    boards = [
        {
            "id": id,
            "organization_id": world.tern.id,
            "name": f"Board {n}",
            "slug": f"board-{n}",
            "board_group_id": there.group.id,
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
        {"organization_member_id": world.alices.id, "board_id": id, "can_write": True, **at}
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


def _work(there: Things, size: int) -> Rows:
    world, at = there.world, {"created_at": now(), "updated_at": now()}
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
    said = [{"content": f"Note {n}", "is_chat": bool(n % 2), **at} for n in range(size)]
    waiting = [
        {
            "board_id": world.board.id,
            "task_id": task["id"],
            "depends_on_task_id": there.task.id,
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
        Note: [note | {"board_id": world.board.id} for note in said],
        GroupNote: [note | {"board_group_id": there.group.id} for note in said],
        TaskDependency: waiting,
        Approval: approvals,
        ApprovalTask: links,
    }


def _around_the_task(there: Things, size: int) -> Rows:
    world, at = there.world, {"created_at": now(), "updated_at": now()}
    tags = [
        {"id": new_id(), "organization_id": world.tern.id, "name": f"T{n}", "slug": f"t{n}", **at}
        for n in range(size)
    ]
    comments = [
        {
            "id": new_id(),
            "board_id": world.board.id,
            "task_id": there.task.id,
            "message": f"Comment {n}",
            "agent_id": world.worker.id if n % 2 else None,
            "user_id": None if n % 2 else world.alice.id,
            "created_at": now(),
        }
        for n in range(size)
    ]
    told = [
        {
            "id": comment["id"],
            "type": EventType.TASK_COMMENT,
            "organization_id": world.tern.id,
            "board_id": world.board.id,
            "task_id": there.task.id,
            "agent_id": comment["agent_id"],
            "user_id": comment["user_id"],
            "data": {"title": there.task.title},
            "created_at": now(),
        }
        for comment in comments
    ]
    tagged = [{"task_id": there.task.id, "tag_id": tag["id"], "created_at": now()} for tag in tags]
    return {Tag: tags, TagAssignment: tagged, Comment: comments, Event: told}


def _at_hand(there: Things, size: int) -> Rows:
    """What is there of an organization besides: fields, invitations, gateways, messages, runs."""
    world, at = there.world, {"created_at": now(), "updated_at": now()}
    own = [{"id": new_id(), "organization_id": world.tern.id, **at} for _ in range(size)]
    fields = [row | {"field_key": f"key-{n}", "label": f"Field {n}"} for n, row in enumerate(own)]
    bound = [
        {
            "board_id": world.board.id,
            "task_custom_field_definition_id": field["id"],
            "created_at": now(),
        }
        for field in fields
    ]
    invites = [
        row | {"invited_email": f"{n}@example.com", "token_hash": str(n), "expires_at": DISTANT}
        for n, row in enumerate(own)
    ]
    gateways = [
        row
        | {"name": f"G {n}", "url": "ws://127.0.0.1:9", "workspace_root": "/", "sealed_device": "x"}
        for n, row in enumerate(own)
    ]
    messages = [
        {
            "organization_id": world.tern.id,
            "agent_id": agent.id,
            "board_id": world.board.id,
            "kind": "BOARD CHAT",
            "content": "BOARD CHAT",
            "key": f"crowd-{n}",
            "created_at": now(),
        }
        for n in range(size)
        for agent in (world.lead, world.other_worker, there.main)
    ]
    requests = [
        {
            "organization_id": world.tern.id,
            "gateway_id": there.gateway.id,
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
            "gateway_id": there.gateway.id,
            "agent_id": world.other_worker.id,
            "task_id": there.task.id,
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
        BoardCustomField: bound,
        Invite: invites,
        Gateway: gateways,
        Message: messages,
        GatewayRequest: requests,
        Run: runs,
    }
