"""Which event makes which part of a page out of date."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

from models import Event, EventType

StaleParts: TypeAlias = Mapping[str, Collection[UUID | None]]
"""Names of parts with the boards whose pages show them; None stands for all pages."""

BOARD = ("boards", "rail", "activity")
VIEWS = ("views", "activity")
BOARD_WEBHOOK = ("board-webhooks", "activity")
PAUSED = (*BOARD, "pauses", "agents")
STOPPED = ("organization", "rail", "agents", "activity")
TASK = ("tasks", "task-{task}", "boards", "agents", "activity")
TASK_CONTENT = (*TASK, "approval-tasks")
CARD = ("card-{task}", "cards")  # a task whose card changes, but not its place on the board
TASK_CARD = (
    *CARD,
    "task-{task}",
    "current-task-{task}",  # the agents, if one of them may be working on the task
    "boards",
    "activity",
    "approval-tasks",
)
INBOX = ("inbox", "approvals")  # the list of the inbox, which loads single approvals by itself
APPROVAL = (
    "approvals",
    "approval-{approval}",
    "tasks",
    "task-{task}",
    "boards",
    "rail",
    "activity",
)
STATE = ("agents", "agent-{agent}")
SHOWN_STATE = (*STATE, "agent-cards-{agent}")
AGENT = (*SHOWN_STATE, "boards", "rail", "activity")
HELD = (*AGENT, "pauses")
PEOPLE = ("members", "activity")
TAGS = ("tags", "tasks", "activity")
FIELDS = ("custom-fields", "tasks", "approval-tasks", "activity")
GROUP = ("board-groups", "boards", "rail", "activity")
GROUP_MEMORY = ("group-memory", "activity")
MEMORY = ("memory", "activity")
ONBOARDING = ("onboarding", "board", "boards", "rail", "activity")
GATEWAY = ("gateways", "agents", "boards", "rail", "activity")
MESSAGE = ("messages", "agent-{agent}")
REQUEST = ("gateway-requests", "agent-{agent}", "rail", "activity")
RUN = ("runs-{agent}", "runs-{task}")
WEBHOOK = ("webhooks", "activity")
SKILLS = ("skills", "activity")
QUESTION = ("questions", "boards", "rail", "activity")
ACTIVITY_ONLY = ("activity",)

STALE_PARTS_BY_EVENT: dict[EventType, tuple[str, ...]] = {
    EventType.ORGANIZATION_CREATED: ("organization", "activity"),
    EventType.ORGANIZATION_UPDATED: ("organization", "rail", "activity"),
    EventType.ORGANIZATION_RULES_UPDATED: ("organization", "activity"),
    EventType.ORGANIZATION_STOPPED: STOPPED,
    EventType.ORGANIZATION_RESUMED: STOPPED,
    EventType.MEMBER_JOINED: PEOPLE,
    EventType.MEMBER_UPDATED: PEOPLE,
    EventType.MEMBER_REMOVED: PEOPLE,
    EventType.MEMBER_PASSWORD_LINKED: PEOPLE,
    EventType.MEMBER_PASSWORD_CHANGED: PEOPLE,
    EventType.INVITE_CREATED: PEOPLE,
    EventType.INVITE_REVOKED: PEOPLE,
    EventType.APPROVAL_POLICY_UPDATED: ("board", "activity"),
    EventType.TAG_CREATED: TAGS,
    EventType.TAG_UPDATED: TAGS,
    EventType.TAG_DELETED: TAGS,
    EventType.CUSTOM_FIELD_CREATED: FIELDS,
    EventType.CUSTOM_FIELD_UPDATED: FIELDS,
    EventType.CUSTOM_FIELD_DELETED: FIELDS,
    EventType.BOARD_GROUP_CREATED: GROUP,
    EventType.BOARD_GROUP_UPDATED: GROUP,
    EventType.BOARD_GROUP_DELETED: GROUP,
    EventType.GROUP_MEMORY_CREATED: GROUP_MEMORY,
    EventType.GROUP_MEMORY_UPDATED: GROUP_MEMORY,
    EventType.GROUP_MEMORY_DELETED: GROUP_MEMORY,
    EventType.GATEWAY_CREATED: GATEWAY,
    EventType.GATEWAY_UPDATED: GATEWAY,
    EventType.GATEWAY_DELETED: GATEWAY,
    EventType.GATEWAY_GRANT_REVOCATION_REQUESTED: ("activity",),
    EventType.GATEWAY_GRANT_REVOKED: ("gateways", "activity"),
    EventType.BOARD_CREATED: BOARD,
    EventType.BOARD_UPDATED: (*BOARD, "board", "tasks"),
    EventType.BOARD_DELETED: (*BOARD, "board", *INBOX, "agents"),
    EventType.BOARD_PAUSED: PAUSED,
    EventType.BOARD_RESUMED: PAUSED,
    EventType.BOARD_WEBHOOK_CREATED: BOARD_WEBHOOK,
    EventType.BOARD_WEBHOOK_UPDATED: BOARD_WEBHOOK,
    EventType.BOARD_WEBHOOK_DELETED: BOARD_WEBHOOK,
    EventType.BOARD_WEBHOOK_RECEIVED: BOARD_WEBHOOK,
    EventType.SAVED_VIEW_CREATED: VIEWS,
    EventType.SAVED_VIEW_UPDATED: VIEWS,
    EventType.SAVED_VIEW_DELETED: VIEWS,
    EventType.BOARD_MEMORY_CREATED: MEMORY,
    EventType.BOARD_MEMORY_UPDATED: MEMORY,
    EventType.BOARD_MEMORY_DELETED: MEMORY,
    EventType.BOARD_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.BOARD_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.GROUP_JOIN_NOTIFIED: ACTIVITY_ONLY,
    EventType.GROUP_JOIN_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.GROUP_LEAVE_NOTIFIED: ACTIVITY_ONLY,
    EventType.GROUP_LEAVE_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.ONBOARDING_STARTED: ONBOARDING,
    EventType.ONBOARDING_UPDATED: ONBOARDING,
    EventType.ONBOARDING_CONFIRMED: ONBOARDING,
    EventType.TASK_CREATED: TASK,
    EventType.TASK_UPDATED: TASK_CONTENT,
    EventType.TASK_STATUS_CHANGED: TASK_CONTENT,
    EventType.TASK_REORDERED: ("task-order",),
    EventType.TASK_STALE: TASK_CARD,
    EventType.TASK_ACTIVE: TASK_CARD,
    EventType.TASK_COMMENT: ("comments-{task}", "comments", *CARD, "news", "activity"),
    EventType.TASK_LINK_UPDATED: TASK_CARD,
    EventType.TASK_DELETED: (*TASK, *INBOX, "trash"),
    EventType.TASK_RESTORED: (*TASK, *INBOX, "trash"),
    EventType.TASK_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_ASSIGNEE_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.TASK_REWORK_NOTIFIED: ACTIVITY_ONLY,
    EventType.TASK_REWORK_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.APPROVAL_REQUESTED: APPROVAL,
    EventType.APPROVAL_REQUESTS_HELD: (*INBOX, "boards", "rail", "activity"),
    EventType.APPROVAL_DECIDED: APPROVAL,
    EventType.APPROVAL_FIRST_APPROVED: APPROVAL,
    EventType.APPROVAL_UNDONE: APPROVAL,
    EventType.APPROVAL_LAPSED: APPROVAL,
    EventType.APPROVAL_APPROVED: APPROVAL,
    EventType.APPROVAL_REJECTED: APPROVAL,
    EventType.APPROVAL_REOPENED: APPROVAL,
    EventType.APPROVAL_CLARIFICATION_REQUESTED: APPROVAL,
    EventType.APPROVAL_LEAD_NOTIFIED: ACTIVITY_ONLY,
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: ACTIVITY_ONLY,
    EventType.AGENT_CREATED: AGENT,
    EventType.AGENT_UPDATED: AGENT,
    EventType.AGENT_DELETED: (*AGENT, "tasks"),
    EventType.AGENT_STATUS_CHANGED: (*SHOWN_STATE, "news"),  # many at once: see _sidebar.html
    EventType.AGENT_HELD: HELD,
    EventType.AGENT_RELEASED: HELD,
    EventType.AGENT_PAUSED: HELD,
    EventType.AGENT_RESUMED: HELD,
    EventType.AGENT_TOKEN_ISSUED: ("agent-{agent}", "activity"),
    EventType.AGENT_SOUL_UPDATED: ("agent-{agent}", "activity"),
    EventType.AGENT_PROVISIONED: AGENT,
    EventType.AGENT_PROVISION_FAILED: AGENT,
    EventType.AGENT_SYNCED: STATE,
    EventType.AGENT_UPDATE_FAILED: AGENT,
    EventType.AGENT_WOKEN: ("agent-{agent}", "activity"),
    EventType.AGENT_LOST: AGENT,
    EventType.AGENT_DELETE_FAILED: AGENT,
    EventType.NUDGE_SENT: ACTIVITY_ONLY,
    EventType.NUDGE_FAILED: ACTIVITY_ONLY,
    EventType.QUESTION_ASKED: QUESTION,
    EventType.QUESTION_ANSWERED: QUESTION,
    EventType.ASK_USER_SENT: ACTIVITY_ONLY,
    EventType.ASK_USER_FAILED: ACTIVITY_ONLY,
    EventType.LEAD_MESSAGE_SENT: ACTIVITY_ONLY,
    EventType.LEAD_MESSAGE_FAILED: ACTIVITY_ONLY,
    EventType.LEAD_BROADCAST_SENT: ACTIVITY_ONLY,
    EventType.MESSAGE_QUEUED: MESSAGE,
    EventType.MESSAGE_SENT: MESSAGE,
    EventType.MESSAGE_ACKNOWLEDGED: MESSAGE,
    EventType.MESSAGE_FAILED: MESSAGE,
    EventType.GATEWAY_REQUEST_ASKED: REQUEST,
    EventType.GATEWAY_REQUEST_ANSWERED: REQUEST,
    EventType.GATEWAY_REQUEST_DELIVERED: ("gateway-requests",),
    EventType.GATEWAY_REQUEST_LOST: REQUEST,
    EventType.GATEWAY_REQUEST_EXPIRED: REQUEST,
    EventType.GATEWAY_REQUEST_CANCELLED: REQUEST,
    EventType.WEBHOOK_ENDPOINT_CREATED: WEBHOOK,
    EventType.WEBHOOK_ENDPOINT_UPDATED: WEBHOOK,
    EventType.WEBHOOK_ENDPOINT_DELETED: WEBHOOK,
    EventType.WEBHOOK_SECRET_ROTATED: WEBHOOK,
    EventType.WEBHOOK_ENDPOINT_DISABLED: WEBHOOK,
    EventType.SKILL_PACK_CREATED: SKILLS,
    EventType.SKILL_PACK_UPDATED: SKILLS,
    EventType.SKILL_PACK_FETCHED: SKILLS,
    EventType.SKILL_PACK_SYNCED: SKILLS,
    EventType.SKILL_PACK_DELETED: SKILLS,
    EventType.SKILL_CREATED: SKILLS,
    EventType.SKILL_UPDATED: SKILLS,
    EventType.SKILL_DELETED: SKILLS,
    EventType.SKILL_INSTALL_REQUESTED: SKILLS,
    EventType.SKILL_REMOVAL_REQUESTED: SKILLS,
    EventType.SKILL_INSTALLED: SKILLS,
    EventType.SKILL_REMOVED: SKILLS,
    EventType.SKILL_REQUEST_FAILED: SKILLS,
    EventType.RUN_STARTED: (*RUN, *STATE),
    EventType.RUN_CHANGED: RUN,
    EventType.RUN_ENDED: (*RUN, *STATE),
}
"""The parts of pages that an event makes out of date. Parts reload on these names."""


SINGLE_BOARD_PARTS = {
    *(
        "agents",
        "agent-cards",
        "board",
        "cards",
        "memory",
        "pauses",
        "tasks",
        "task-order",
        "trash",
    ),
    *("onboarding", "views", "board-webhooks"),
}
"""Parts that show one board. They are not sent to pages of another board."""

MAX_SINGLE_CARDS = 5  # in one batch of events; also of agents whose cards are loaded

MAX_SINGLE_COMMENTS = 5  # tasks whose comments a part follows one by one, otherwise all comments

SINGLE_TASK_NAMES = ("card-", "current-task-")
AGENT_CARDS = "agent-cards-"

CARD_FIELDS = {
    *("title", "description", "due_at", "assigned_agent_id", "assigned_user_id", "priority")
}
"""Fields of a task on which no other card depends. On an unfiltered board they do not change the
place of a card; other views (`BoardAddress.is_unfiltered_board`) load all cards again."""


def list_stale_parts(event: Event) -> Iterable[str]:
    """Return the names of the parts that an event makes out of date."""
    ids = {"task": event.task_id, "approval": event.approval_id, "agent": event.agent_id}
    names = TASK_CARD if _changes_only_card(event) else STALE_PARTS_BY_EVENT[event.type]
    return [name.format(**ids) for name in names]


def _changes_only_card(event: Event) -> bool:
    """Return whether an event is the change of fields that only the card of the task shows."""
    changed = event.data.get("changes") if event.type is EventType.TASK_UPDATED else None
    return bool(changed) and set(changed) <= CARD_FIELDS


def limit_single_cards(found: StaleParts) -> StaleParts:
    """Replace many single cards by all cards, which a page then loads with one request.

    The same applies to the cards of many agents. What replaces parts concerns all their boards.
    """
    found = _replace_many(found, AGENT_CARDS, AGENT_CARDS, "agent-cards")
    return _replace_many(found, "card-", SINGLE_TASK_NAMES, "tasks", "agents")


def _replace_many(
    found: StaleParts, counted: str, replaced: str | tuple[str, ...], *names: str
) -> StaleParts:
    if sum(name.startswith(counted) for name in found) <= MAX_SINGLE_CARDS:
        return found
    kept = {name: boards for name, boards in found.items() if not name.startswith(replaced)}
    of_replaced = {id for name in found.keys() - kept.keys() for id in found[name]}
    return kept | {name: of_replaced | {*found.get(name, ())} for name in names}


def is_single_board(name: str) -> bool:
    """Return whether a part shows one board; its name is not sent to pages of another board."""
    return name in SINGLE_BOARD_PARTS or name.startswith(AGENT_CARDS)
