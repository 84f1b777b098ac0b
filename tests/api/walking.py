"""Going through every operation of the API, and seeing whether anything was changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api import reach
from api.app import OPERATIONS
from api.auth import Caller
from api.operations import Operation
from kit.clock import now
from models import (
    Agent,
    Approval,
    Board,
    BoardGroup,
    DesiredState,
    Gateway,
    GatewayRequest,
    Invite,
    Message,
    OnboardingSession,
    Tag,
    Task,
    User,
)
from tests.remembering import a_group_note, a_note, grouped
from tests.world import (
    World,
    a_gateway,
    a_main,
    a_message,
    a_request,
    a_run,
    a_tag,
    an_agent,
    an_invite,
)

TABLES = (
    "activity_events",
    "agent_messages",
    "agent_runs",
    "agent_tokens",
    "agents",
    "approval_task_links",
    "approvals",
    "board_group_memory",
    "board_groups",
    "board_memory",
    "board_onboarding_messages",
    "board_onboarding_sessions",
    "board_task_custom_fields",
    "boards",
    "gateway_requests",
    "gateways",
    "organization_board_access",
    "organization_invite_board_access",
    "organization_invites",
    "organization_members",
    "organizations",
    "presences",
    "read_markers",
    "tag_assignments",
    "tags",
    "task_comments",
    "task_custom_field_definitions",
    "task_custom_field_values",
    "task_dependencies",
    "tasks",
    "trash",
)
FOR_CHARLIE = "mc_invite_for-charlie"  # the token of the invitation into Tern
ROWS = """
    select array_agg(r order by r::text)
    from (select to_jsonb(t) - 'last_seen_at' - 'updated_at' as r from {} t) rows
"""
WITH_IDS = [
    operation
    for operation in OPERATIONS
    if "_id}" in operation.path.replace("{session_id}", "")  # a gateway's key, and no id of ours
]
WRITING = [operation for operation in OPERATIONS if operation.reads.body is not None]
BODIES = list({operation.reads.body: operation for operation in reversed(WRITING)}.values())
"""An operation for each model of a body: the same at another path reads it with the same code."""


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


OF_MAIN = {
    operation.path
    for operation in OPERATIONS
    if operation.reach is reach.asking or operation.hints.get("x-required-actor") == "agent_main"
}
"""What only the agent that looks after a gateway may do."""

FIELD = UUID(int=43)
NOTE = UUID(int=44)  # one on Launch, and one in its group


@dataclass(frozen=True)
class Things:
    """What there is of the world that a path can name."""

    world: World
    task: Task
    approval: Approval
    tag: Tag
    invite: Invite
    message: Message  # to the lead
    others_message: Message
    group: BoardGroup
    gateway: Gateway  # of Launch
    main: Agent  # who looks after it
    request: GatewayRequest  # of the worker's, on the gateway
    brought: Agent  # who was brought there

    def path(self, operation: Operation) -> str:
        """Return the path to the things of Launch."""
        return self.fill(operation.path)

    def fill(self, path: str) -> str:
        """Return a path with the ids of the things of Launch where it has names for them."""
        own = path.startswith("/agent/")  # of whoever calls
        brought, other = self.brought, self.world.other_worker
        ids: Mapping[str, UUID | str] = {
            "board_id": self.world.board.id,
            "task_id": self.task.id,
            "approval_id": self.approval.id,
            "agent_id": (brought if path.endswith("/provisioning") else other).id,
            "task_custom_field_definition_id": FIELD,
            "tag_id": self.tag.id,
            "member_id": self.world.bobs.id,
            "invite_id": self.invite.id,
            "message_id": (self.message if own else self.others_message).id,
            "group_id": self.group.id,
            "memory_id": NOTE,
            "gateway_id": self.gateway.id,
            "session_id": "agent:main:main",
            "request_id": self.request.id,
        }
        return path.format(**ids, handle="mission-control", slug="board-lead", kind="chat")

    def insider(self, operation: Operation) -> User | Agent:
        """Return somebody of Tern who may do this."""
        if operation.caller is not Caller.AGENT:
            return self.world.alice
        return self.main if operation.path in OF_MAIN else self.world.lead

    def strangers(self, operation: Operation) -> list[User | Agent]:
        """Return whoever of Plover could call this."""
        callers: dict[Caller, list[User | Agent]] = {
            Caller.USER: [self.world.charlie],
            Caller.AGENT: [self.world.charlies_worker],
            Caller.EITHER: [self.world.charlie, self.world.charlies_worker],
        }
        return callers[operation.caller]


async def things(session: AsyncSession, world: World) -> Things:
    """Put into Tern what a path can name: one of each kind."""
    task = world.task()
    session.add_all(world.field(id=FIELD))
    approval, *links = world.approval(task)
    tag, invite = a_tag(world.tern), an_invite(world.tern, "charlie@example.com", FOR_CHARLIE)
    message, others = a_message(world.lead), a_message(world.other_worker)
    gateway = a_gateway(world.tern)
    session.add_all([task, approval, *links, tag, invite, message, others, gateway])
    await session.flush()
    main, token = a_main(gateway)
    brought = an_agent("Brought", world.board, gateway_id=gateway.id)
    brought.desired_state = DesiredState.RUNNING
    session.add_all([main, token, brought])
    served = update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
    await session.execute(served.execution_options(synchronize_session=False))
    group = await grouped(session, world.board)
    begun = OnboardingSession(board_id=world.board.id, created_at=now(), updated_at=now())
    session.add_all([a_note(world.board, id=NOTE), a_group_note(group, id=NOTE), begun])
    await session.flush()
    request = a_request(gateway, world.worker)
    session.add_all([request, a_run(gateway, world.other_worker, task_id=task.id)])
    await session.flush()
    at = (gateway, main, request, brought)
    return Things(world, task, approval, tag, invite, message, others, group, *at)


async def everything(session: AsyncSession) -> dict[str, Any]:
    """Return all rows that a call could have changed, but for when agents were last seen."""
    return {table: await session.scalar(text(ROWS.format(table))) for table in TABLES}
