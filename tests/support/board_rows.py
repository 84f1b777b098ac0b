"""Rows of boards: agents, tasks, fields, messages and webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from core.clock import now
from models import (
    DECISIONS_TOPIC,
    Agent,
    AgentStatus,
    Approval,
    ApprovalTask,
    Board,
    BoardCustomField,
    BoardWebhook,
    CustomField,
    Message,
    Notification,
    NotificationKind,
    Organization,
    PayloadState,
    Status,
    Tag,
    Task,
    User,
    WebhookPayload,
    new_id,
)
from services import outbox
from services.approval_actions import (
    ActionObject,
    build_task_content,
    hash_action,
    hash_content,
)
from tests.support.secret_key import CIPHER

WEBHOOK_SECRET = "the secret of a webhook"


def make_notification(board: Board, user: User, **fields: Any) -> Notification:
    """Make a notification of a mention on a board."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "organization_id": board.organization_id,
        "user_id": user.id,
        "kind": NotificationKind.MENTION,
        "key": str(new_id()),
        "merges": False,
        "board_id": board.id,
        "data": {"title": "Write the report"},
        "created_at": now(),
        "updated_at": now(),
    }
    return Notification(**(defaults | fields))


def make_link(approval: Approval, task: Task, position: int = 0) -> ApprovalTask:
    """Make a link of an approval to a task without custom fields, with its current content."""
    content = build_task_content(task.title, task.description, {})
    return ApprovalTask(
        approval=approval,
        task=task,
        position=position,
        content=dict(content),
        content_hash=hash_content(content),
        created_at=now(),
    )


def hash_request(approval: Approval, links: Sequence[ApprovalTask]) -> str:
    """Return the hash of an approval with the stored contents of its links."""
    objects = [ActionObject(link.task.id, str(link.content_hash)) for link in links]
    return hash_action(approval.board_id, approval.action_type, objects, approval.payload)


def make_message(to: Agent, content: str = "BOARD CHAT\nHello.", **fields: Any) -> Message:
    id = new_id()
    defaults = {"kind": content.partition("\n")[0], "key": str(id), "created_at": now()}
    return Message(
        id=id,
        organization_id=to.organization_id,
        agent_id=to.id,
        content=content,
        **(defaults | fields),
    )


def make_board(name: str, organization: Organization, **fields: Any) -> Board:
    defaults = {
        "description": "What this board is for",
        "board_type": "general",
        "require_approval_for_done": False,
        "require_review_before_done": False,
        "comment_required_for_review": False,
        "block_status_changes_with_pending_approval": False,
        "only_lead_can_change_status": False,
        "goal_confirmed": False,
        "max_agents": 2,
    }
    return Board(
        id=new_id(),
        organization=organization,
        organization_id=organization.id,
        name=name,
        slug=name.lower().replace(" ", "-").replace("'", ""),
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_agent(name: str, board: Board, **fields: Any) -> Agent:
    defaults = {"is_board_lead": False, "status": AgentStatus.ONLINE, "last_seen_at": now()}
    return Agent(
        id=new_id(),
        organization_id=board.organization_id,
        board=board,
        board_id=board.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_task(board: Board, title: str, **fields: Any) -> Task:
    defaults = {"id": new_id(), "status": Status.INBOX, "priority": "medium"}
    return Task(
        board=board,
        board_id=board.id,
        title=title,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


async def add_tasks(
    database: AsyncEngine, board: Mapping[str, Any], titles: Sequence[str], **fields: Any
) -> list[dict[str, str]]:
    """Add tasks to a board of a site, the last one first in its column, and return their ids.

    It takes a tenth of the time of requests.
    """
    async with AsyncSession(database, expire_on_commit=False) as session, session.begin():
        stored = await session.get_one(Board, UUID(board["id"]))
        made = [make_task(stored, title, **fields) for title in titles]
        session.add_all(made)
    return [{"id": str(task.id), "title": task.title} for task in made]


def make_custom_field(*boards: Board, **fields: Any) -> list[Any]:
    """Make a custom field of these boards; the first row is the field, then its bindings.

    Its key is `size` and its type is text.
    """
    times = {"created_at": now(), "updated_at": now()}
    defaults = {"id": new_id(), "field_key": "size", "label": "Size"}
    field = CustomField(organization_id=boards[0].organization_id, **times, **(defaults | fields))
    bindings = [
        BoardCustomField(board_id=board.id, field=field, created_at=now()) for board in boards
    ]
    return [field, *bindings]


def make_tag(organization: Organization, name: str = "Words", **fields: Any) -> Tag:
    defaults = {"id": new_id(), "slug": name.lower(), "color": "9e9e9e"}
    return Tag(
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_webhook(
    board: Board, description: str = "Create a task for each failed build.", **fields: Any
) -> BoardWebhook:
    """Make a webhook with the secret WEBHOOK_SECRET."""
    id = new_id()
    defaults = {
        "encrypted_secret": CIPHER.encrypt(WEBHOOK_SECRET, f"board_webhooks.secret:{id}"),
        "enabled": True,
        "created_at": now(),
        "updated_at": now(),
    }
    return BoardWebhook(id=id, board_id=board.id, description=description, **(defaults | fields))


def make_webhook_payload(webhook: BoardWebhook, **fields: Any) -> WebhookPayload:
    defaults = {
        "payload": {"action": "opened"},
        "headers": {"content-type": "application/json"},
        "source_ip": "192.0.2.7",
        "content_type": "application/json",
        "size": 20,
        "received_at": now(),
        "state": PayloadState.RECEIVED,
    }
    return WebhookPayload(
        id=new_id(), board_id=webhook.board_id, webhook_id=webhook.id, **(defaults | fields)
    )


async def end_undo_time(engine: AsyncEngine, board: Mapping[str, Any]) -> None:
    """Let the decisions about the requests of a board become final now."""
    requests = update(Approval).where(Approval.board_id == UUID(board["id"]))
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(requests.values(finalizes_at=now()))
        await outbox.wake_workers(session, DECISIONS_TOPIC)
