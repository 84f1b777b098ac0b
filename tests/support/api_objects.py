"""Objects for every path parameter of the API, and a way to see whether rows have changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.app import OPERATIONS
from api.framework import dependencies
from api.framework.auth import AllowedCaller
from api.framework.operation import Operation
from core.clock import now
from models import (
    Agent,
    AgentQuestion,
    Approval,
    Base,
    Board,
    BoardGroup,
    BoardWebhook,
    ChannelKind,
    DeliveryState,
    DesiredState,
    Gateway,
    GatewayRequest,
    Invite,
    Message,
    NotificationChannel,
    NotificationDelivery,
    OnboardingSession,
    Tag,
    Task,
    User,
    WebhookPayload,
)
from services.channels.store import encrypt_config
from tests.support.board_rows import (
    make_agent,
    make_message,
    make_notification,
    make_tag,
    make_webhook,
    make_webhook_payload,
)
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_main_agent, make_run
from tests.support.memory_rows import create_group_of, make_group_note, make_note
from tests.support.people_rows import make_invite
from tests.support.secret_key import CIPHER
from tests.support.skill_rows import (
    DIGEST,
    PACK_ID,
    SKILL_ID,
    make_gateway_skill,
    make_pack,
    make_skill,
    make_version,
)
from tests.support.tool_calls import make_coding_session, make_tool_grant
from tests.support.webhook_rows import make_delivery, make_endpoint
from tests.support.world import World

WRITTEN_BY_REFUSED_REQUESTS = {
    *("api_tokens", "audit_records", "failed_attempts", "idempotency_keys", "limit_shares"),
}
TABLES = sorted(Base.metadata.tables.keys() - WRITTEN_BY_REFUSED_REQUESTS)
CHARLIE_INVITE_TOKEN = "mc_invite_for-charlie"  # of the invitation to Tern
ROWS_SQL = text(
    " union all ".join(
        f"select '{table}', jsonb_agg(r order by r::text)::text from"
        f" (select to_jsonb(t) - '{{last_seen_at,updated_at}}'::text[] r from {table} t)"
        for table in TABLES
    )
)
"""All tables in one statement: they are read before and after hundreds of requests."""
OPERATIONS_WITH_IDS = [
    operation
    for operation in OPERATIONS
    if "_id}"
    in operation.path.replace(
        "{session_id}", ""
    )  # a session key of the gateway, not one of our ids
    and operation.allowed_caller
    is not AllowedCaller.ANYONE  # of a webhook, which checks signatures
]
assert len(OPERATIONS_WITH_IDS) > 100
OPERATIONS_WITH_TOKEN = [
    operation for operation in OPERATIONS if operation.allowed_caller is not AllowedCaller.ANYONE
]
OPERATIONS_WITH_BODY = [operation for operation in OPERATIONS if operation.parser.body is not None]
OPERATIONS_BY_BODY = list(
    {operation.parser.body: operation for operation in reversed(OPERATIONS_WITH_BODY)}.values()
)
"""One operation for each body model; other paths use the same code."""


def operation_label(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


MAIN_AGENT_PATHS = {
    operation.path
    for operation in OPERATIONS
    if operation.dependency is dependencies.board_of_gateway_agent
    or operation.hints.get("x-required-actor") == "agent_main"
}
"""Paths that only the main agent of a gateway may call."""

FIELD_ID = UUID(int=43)
NOTIFICATION_ID = UUID(int=45)  # of Alice
WEBHOOK_ID, WEBHOOK_DELIVERY_ID = UUID(int=46), UUID(int=47)
CHANNEL_ID, CHANNEL_DELIVERY_ID = UUID(int=48), UUID(int=49)  # of Alice
QUESTION_ID = UUID(int=50)
GRANT_ID = UUID(int=60)
NOTE_ID = UUID(int=44)  # of a note of Launch, and of one of its group


@dataclass(frozen=True)
class ApiObjects:
    """One object for each path parameter, all in Tern."""

    world: World
    task: Task
    approval: Approval
    tag: Tag
    invite: Invite
    message: Message  # to the lead
    other_message: Message
    group: BoardGroup
    gateway: Gateway  # of Launch
    main_agent: Agent  # of the gateway
    request: GatewayRequest  # of the worker on the gateway
    provisioned_agent: Agent  # on the gateway
    webhook: BoardWebhook
    webhook_payload: WebhookPayload

    def build_path(self, operation: Operation) -> str:
        """Return the path of an operation with the ids of these objects."""
        return self.fill_path(operation.path)

    def fill_path(self, path: str) -> str:
        """Return a path with the ids of these objects."""
        own = path.startswith("/agent/")  # the id belongs to the caller
        provisioned_agent, other = self.provisioned_agent, self.world.other_worker
        ids: Mapping[str, UUID | str] = {
            "board_id": self.world.board.id,
            "task_id": self.task.id,
            "approval_id": self.approval.id,
            "agent_id": (provisioned_agent if path.endswith("/provisioning") else other).id,
            "task_custom_field_definition_id": FIELD_ID,
            "tag_id": self.tag.id,
            "member_id": self.world.bob_member.id,
            "invite_id": self.invite.id,
            "message_id": (self.message if own else self.other_message).id,
            "group_id": self.group.id,
            "memory_id": NOTE_ID,
            "notification_id": NOTIFICATION_ID,
            "gateway_id": self.gateway.id,
            "session_id": "agent:main:main",
            "grant_id": GRANT_ID if path.startswith("/agents") else "grant-1",
            "request_id": self.request.id,
            "webhook_id": WEBHOOK_ID if path.startswith("/webhooks") else self.webhook.id,
            "payload_id": self.webhook_payload.id,
            "delivery_id": (
                CHANNEL_DELIVERY_ID if path.startswith("/channels") else WEBHOOK_DELIVERY_ID
            ),
            "channel_id": CHANNEL_ID,
            "question_id": QUESTION_ID,
            "skill_id": SKILL_ID,
            "pack_id": PACK_ID,
            "digest": DIGEST,
        }
        return path.format(**ids, handle="mission-control", slug="board-lead", kind="chat")

    def get_allowed_caller(self, operation: Operation) -> User | Agent:
        """Return a user or agent of Tern who may call the operation."""
        if operation.allowed_caller is not AllowedCaller.AGENT:
            return self.world.alice
        return self.main_agent if operation.path in MAIN_AGENT_PATHS else self.world.lead

    def list_foreign_callers(self, operation: Operation) -> list[User | Agent]:
        """Return the callers of Plover for this kind of operation."""
        callers: dict[AllowedCaller, list[User | Agent]] = {
            AllowedCaller.USER: [self.world.charlie],
            AllowedCaller.AGENT: [self.world.charlies_worker],
            AllowedCaller.EITHER: [self.world.charlie, self.world.charlies_worker],
            AllowedCaller.ANYONE: [],
        }
        return callers[operation.allowed_caller]


async def create_api_objects(session: AsyncSession, world: World) -> ApiObjects:
    """Create one object of each kind in Tern."""
    task = world.make_task()
    session.add_all(world.make_custom_field(id=FIELD_ID))
    session.add(make_notification(world.board, world.alice, id=NOTIFICATION_ID))
    approval, *links = world.make_approval(task)
    tag, invite = (
        make_tag(world.tern),
        make_invite(world.tern, "charlie@example.com", CHARLIE_INVITE_TOKEN),
    )
    message, other_message = make_message(world.lead), make_message(world.other_worker)
    gateway = make_gateway(world.tern)
    session.add_all([task, approval, *links, tag, invite, message, other_message, gateway])
    await session.flush()
    main, token = make_main_agent(gateway)
    provisioned_agent = make_agent("Brought", world.board, gateway_id=gateway.id)
    provisioned_agent.desired_state = DesiredState.RUNNING
    session.add_all([main, token, provisioned_agent])
    served = update(Board).where(Board.id == world.board.id).values(gateway_id=gateway.id)
    await session.execute(served.execution_options(synchronize_session=False))
    group = await create_group_of(session, world.board)
    onboarding_session = OnboardingSession(
        board_id=world.board.id, created_at=now(), updated_at=now()
    )
    session.add_all(
        [make_note(world.board, id=NOTE_ID), make_group_note(group, id=NOTE_ID), onboarding_session]
    )
    await session.flush()
    request = make_gateway_request(gateway, world.worker)
    session.add_all([request, make_run(gateway, world.other_worker, task_id=task.id)])
    webhook = make_webhook(world.board)
    payload = make_webhook_payload(webhook)
    session.add_all([webhook, endpoint := make_endpoint(world.tern, id=WEBHOOK_ID)])
    await session.flush()
    session.add_all([payload, make_delivery(endpoint, id=WEBHOOK_DELIVERY_ID)])
    session.add_all([make_channel(world), make_question(world)])
    await session.flush()
    session.add(make_failed_delivery())
    await session.flush()
    pack = make_pack(world.tern, id=PACK_ID, source_url=f"upload:{PACK_ID}")
    skill = make_skill(world.tern, pack, id=SKILL_ID)
    session.add(pack)
    await session.flush()
    session.add(skill)
    await session.flush()
    session.add_all([make_version(skill), make_gateway_skill(gateway, skill)])
    session.add(coding_session := make_coding_session(world.other_worker))
    await session.flush()
    session.add(make_tool_grant(coding_session, approval, id=GRANT_ID))
    await session.flush()
    at = (gateway, main, request, provisioned_agent, webhook, payload)
    return ApiObjects(world, task, approval, tag, invite, message, other_message, group, *at)


def make_channel(world: World) -> NotificationChannel:
    """Make a channel of Alice."""
    times = {"confirmed_at": now(), "created_at": now(), "updated_at": now()}
    config = {"url": "https://ntfy.example/a-secret-topic"}
    return NotificationChannel(
        id=CHANNEL_ID,
        user_id=world.alice.id,
        organization_id=world.tern.id,
        kind=ChannelKind.NTFY,
        name="Phone",
        encrypted_config=encrypt_config(CIPHER, CHANNEL_ID, config),
        **times,
    )


def make_failed_delivery() -> NotificationDelivery:
    """Make a message of the channel that has failed."""
    return NotificationDelivery(
        id=CHANNEL_DELIVERY_ID,
        channel_id=CHANNEL_ID,
        notification_id=NOTIFICATION_ID,
        state=DeliveryState.FAILED,
        attempts=3,
        last_error="rejected",
        created_at=now(),
        next_attempt_at=now(),
    )


def make_question(world: World) -> AgentQuestion:
    """Make an open question of the worker."""
    return AgentQuestion(
        id=QUESTION_ID,
        board_id=world.board.id,
        agent_id=world.worker.id,
        content="Which server?",
        created_at=now(),
    )


async def read_all_rows(session: AsyncSession) -> dict[str, Any]:
    """Return the rows of each table that a request could have changed, as a text of JSON.

    `last_seen_at` of agents is left out.
    """
    return dict((await session.execute(ROWS_SQL)).all())
