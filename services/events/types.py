"""What there is to know about each type of events: one entry for each type."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

from core.text import N_
from models import EventType


@dataclass(frozen=True)
class EventDefinition:
    """A type of events. Texts are English and marked, and are translated when they are shown.

    `%(name)s` in a text is a value of the event's data: `build_event_values` has them all.
    """

    text: str  # without the actor, for the API and for pages
    audit_text: str | None  # how the audit calls the action; NOT_AUDITED: it has no record
    stale_parts: tuple[str, ...]  # the parts of pages that are out of date: they reload by name
    _: KW_ONLY
    feed_kind: str = ""  # the filter of the activity pages, or "" for an event that they omit
    feed_text: str = ""  # the sentence there, with its actor and its subject
    history_text: str = ""  # in the history of its task, if `feed_text` does not fit there
    cause_text: str = ""  # why a task is as it is: what the actor did, in the English of the API
    is_in_feeds: bool = True  # in the activity of the API
    shown_without_board: str = ""  # to "members" or "admins", in feeds of all boards
    is_in_history: bool = True  # in the history of its task
    is_kept: bool = False  # after EVENT_RETENTION_DAYS, because other reads need it
    streams: tuple[str, ...] = ()  # of the API that publish it: "task", "approval" or "agent"
    is_public: bool = False  # outgoing webhooks send it: docs/webhooks.md
    moves_task: bool = False  # `left` and `entered` in its data are statuses of its task


NOT_AUDITED = None
"""For communication, received payloads, the order of cards, and the state of agents and runs."""

# Parts that several types make out of date. Pages reload them by name: see web/stale_parts.py.
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

AUDITED_KINDS: Mapping[str, str] = {
    "agent": N_("Agent"),
    "approval": N_("Approval"),
    "approval_policy": N_("Approval policy"),
    "board": N_("Board"),
    "board_group": N_("Board group"),
    "board_webhook": N_("Webhook of a board"),
    "custom_field": N_("Custom field"),
    "gateway": N_("Gateway"),
    "gateway_request": N_("Gateway request"),
    "invite": N_("Invitation"),
    "member": N_("Member"),
    "organization": N_("Organization"),
    "saved_view": N_("Saved view"),
    "skill": N_("Skill"),
    "skill_pack": N_("Skill pack"),
    "tag": N_("Tag"),
    "task": N_("Task"),
    "webhook_endpoint": N_("Webhook"),
}
"""How the audit calls the first words of the types that it records."""

EVENT_DEFINITIONS: Mapping[EventType, EventDefinition] = {
    EventType.ORGANIZATION_CREATED: EventDefinition(
        N_("Organization created: %(name)s"),
        N_("organization created"),
        ("organization", "activity"),
    ),
    EventType.ORGANIZATION_UPDATED: EventDefinition(
        N_("Organization renamed: %(name)s"),
        N_("organization updated"),
        ("organization", "rail", "activity"),
    ),
    EventType.ORGANIZATION_RULES_UPDATED: EventDefinition(
        N_("Rules of the organization changed: %(name)s"),
        N_("rules of the organization changed"),
        ("organization", "activity"),
    ),
    EventType.ORGANIZATION_STOPPED: EventDefinition(
        N_("All agents stopped: %(reason)s"),
        N_("all agents stopped"),
        STOPPED,
        feed_kind="agents",
        feed_text=N_("%(actor)s stopped all agents of %(subject)s"),
        shown_without_board="members",
        is_public=True,
    ),
    EventType.ORGANIZATION_RESUMED: EventDefinition(
        N_("All agents resumed"),
        N_("all agents resumed"),
        STOPPED,
        feed_kind="agents",
        feed_text=N_("%(actor)s resumed all agents of %(subject)s"),
        shown_without_board="members",
        is_public=True,
    ),
    EventType.MEMBER_JOINED: EventDefinition(
        N_("Member joined: %(name)s"), N_("member joined"), PEOPLE, is_public=True
    ),
    EventType.MEMBER_UPDATED: EventDefinition(
        N_("Member changed: %(name)s"), N_("member updated"), PEOPLE, is_public=True
    ),
    EventType.MEMBER_REMOVED: EventDefinition(
        N_("Member removed: %(name)s"),
        N_("member removed"),
        PEOPLE,
        is_public=True,
        is_kept=True,  # the user is told of it at the next sign-in
    ),
    EventType.MEMBER_PASSWORD_LINKED: EventDefinition(
        N_("Link for a new password created: %(name)s"),
        N_("password link created for a member"),
        PEOPLE,
    ),
    EventType.MEMBER_PASSWORD_CHANGED: EventDefinition(
        N_("Password changed with a link: %(name)s"), N_("password changed with a link"), PEOPLE
    ),
    EventType.INVITE_CREATED: EventDefinition(
        N_("Invited: %(email)s"), N_("invitation created"), PEOPLE
    ),
    EventType.INVITE_REVOKED: EventDefinition(
        N_("Invitation withdrawn: %(email)s"), N_("invitation revoked"), PEOPLE
    ),
    EventType.TAG_CREATED: EventDefinition(N_("Tag created: %(name)s"), N_("tag created"), TAGS),
    EventType.TAG_UPDATED: EventDefinition(N_("Tag changed: %(name)s"), N_("tag updated"), TAGS),
    EventType.TAG_DELETED: EventDefinition(N_("Tag deleted: %(name)s"), N_("tag deleted"), TAGS),
    EventType.CUSTOM_FIELD_CREATED: EventDefinition(
        N_("Custom field created: %(name)s"), N_("custom field created"), FIELDS
    ),
    EventType.CUSTOM_FIELD_UPDATED: EventDefinition(
        N_("Custom field changed: %(name)s"), N_("custom field updated"), FIELDS
    ),
    EventType.CUSTOM_FIELD_DELETED: EventDefinition(
        N_("Custom field deleted: %(name)s"), N_("custom field deleted"), FIELDS
    ),
    EventType.BOARD_GROUP_CREATED: EventDefinition(
        N_("Board group created: %(name)s"), N_("board group created"), GROUP
    ),
    EventType.BOARD_GROUP_UPDATED: EventDefinition(
        N_("Board group changed: %(name)s"), N_("board group updated"), GROUP
    ),
    EventType.BOARD_GROUP_DELETED: EventDefinition(
        N_("Board group deleted: %(name)s"), N_("board group deleted"), GROUP
    ),
    # Notes are only in the memory and its streams, not in feeds.
    EventType.GROUP_MEMORY_CREATED: EventDefinition(
        N_("Note added to a board group: %(name)s"),
        N_("note of a board group created"),
        GROUP_MEMORY,
        is_in_feeds=False,
    ),
    EventType.GROUP_MEMORY_UPDATED: EventDefinition(
        N_("Note of a board group changed: %(name)s"),
        N_("note of a board group updated"),
        GROUP_MEMORY,
        is_in_feeds=False,
    ),
    EventType.GROUP_MEMORY_DELETED: EventDefinition(
        N_("Note of a board group deleted: %(name)s"),
        N_("note of a board group deleted"),
        GROUP_MEMORY,
        is_in_feeds=False,
    ),
    EventType.GATEWAY_CREATED: EventDefinition(
        N_("Gateway added: %(name)s"),
        N_("gateway created"),
        GATEWAY,
        is_kept=True,  # the age of its token
    ),
    EventType.GATEWAY_UPDATED: EventDefinition(
        N_("Gateway changed: %(name)s"), N_("gateway updated"), GATEWAY
    ),
    EventType.GATEWAY_DELETED: EventDefinition(
        N_("Gateway removed: %(name)s"), N_("gateway deleted"), GATEWAY
    ),
    EventType.GATEWAY_GRANT_REVOCATION_REQUESTED: EventDefinition(
        N_(
            "Revocation of the standing grant of the automation %(automation)s on %(name)s"
            " requested"
        ),
        N_("revocation of a standing grant requested"),
        ("activity",),
    ),
    EventType.GATEWAY_GRANT_REVOKED: EventDefinition(
        N_("Standing grant of the automation %(automation)s revoked on %(name)s"),
        N_("standing grant revoked"),
        ("gateways", "activity"),
    ),
    EventType.BOARD_CREATED: EventDefinition(
        N_("Board created: %(name)s"),
        N_("board created"),
        BOARD,
        feed_kind="boards",
        feed_text=N_("%(actor)s created the board %(subject)s"),
        is_public=True,
    ),
    EventType.BOARD_UPDATED: EventDefinition(
        N_("Board changed: %(name)s"),
        N_("board updated"),
        (*BOARD, "board", "tasks"),
        feed_kind="boards",
        feed_text=N_("%(actor)s changed the board %(subject)s"),
        is_public=True,
    ),
    EventType.BOARD_DELETED: EventDefinition(
        N_("Board deleted: %(name)s"),
        N_("board deleted"),
        (*BOARD, "board", *INBOX, "agents"),
        is_public=True,
    ),
    EventType.BOARD_PAUSED: EventDefinition(
        N_("Agents paused: %(name)s"),
        N_("agents of a board paused"),
        PAUSED,
        feed_kind="boards",
        feed_text=N_("%(actor)s paused the agents of %(subject)s"),
        is_public=True,
        is_kept=True,  # who paused it
    ),
    EventType.BOARD_RESUMED: EventDefinition(
        N_("Agents resumed: %(name)s"),
        N_("agents of a board resumed"),
        PAUSED,
        feed_kind="boards",
        feed_text=N_("%(actor)s resumed the agents of %(subject)s"),
        is_public=True,
    ),
    EventType.BOARD_WEBHOOK_CREATED: EventDefinition(
        N_("Webhook created: %(name)s"), N_("webhook of a board created"), BOARD_WEBHOOK
    ),
    EventType.BOARD_WEBHOOK_UPDATED: EventDefinition(
        N_("Webhook changed: %(name)s"), N_("webhook of a board updated"), BOARD_WEBHOOK
    ),
    EventType.BOARD_WEBHOOK_DELETED: EventDefinition(
        N_("Webhook deleted: %(name)s"), N_("webhook of a board deleted"), BOARD_WEBHOOK
    ),
    EventType.BOARD_WEBHOOK_UNSIGNED_ALLOWED: EventDefinition(
        N_("Webhook accepts unsigned payloads: %(name)s"),
        N_("unsigned payloads of a webhook allowed"),
        BOARD_WEBHOOK,
    ),
    EventType.BOARD_WEBHOOK_UNSIGNED_ENDED: EventDefinition(
        N_("Webhook accepts only signed payloads again: %(name)s"),
        N_("unsigned payloads of a webhook no longer allowed"),
        BOARD_WEBHOOK,
    ),
    EventType.BOARD_WEBHOOK_RECEIVED: EventDefinition(
        N_("Data received by a webhook: %(name)s"), NOT_AUDITED, BOARD_WEBHOOK
    ),
    EventType.SAVED_VIEW_CREATED: EventDefinition(
        N_("Shared view saved: %(name)s"), N_("shared view saved"), VIEWS
    ),
    EventType.SAVED_VIEW_UPDATED: EventDefinition(
        N_("Shared view changed: %(name)s"), N_("shared view updated"), VIEWS
    ),
    EventType.SAVED_VIEW_DELETED: EventDefinition(
        N_("Shared view deleted: %(name)s"), N_("shared view deleted"), VIEWS
    ),
    # as the notes of groups
    EventType.BOARD_MEMORY_CREATED: EventDefinition(
        N_("Note added to a board: %(name)s"),
        N_("note of a board created"),
        MEMORY,
        is_in_feeds=False,
    ),
    EventType.BOARD_MEMORY_UPDATED: EventDefinition(
        N_("Note of a board changed: %(name)s"),
        N_("note of a board updated"),
        MEMORY,
        is_in_feeds=False,
    ),
    EventType.BOARD_MEMORY_DELETED: EventDefinition(
        N_("Note of a board deleted: %(name)s"),
        N_("note of a board deleted"),
        MEMORY,
        is_in_feeds=False,
    ),
    EventType.BOARD_LEAD_NOTIFIED: EventDefinition(
        N_("Lead notified about the board: %(name)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.BOARD_LEAD_NOTIFY_FAILED: EventDefinition(
        N_("Lead could not be notified about the board: %(error)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.GROUP_JOIN_NOTIFIED: EventDefinition(
        N_("Notified that a board joined the group: %(name)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.GROUP_JOIN_NOTIFY_FAILED: EventDefinition(
        N_("Could not be notified that a board joined the group: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
    ),
    EventType.GROUP_LEAVE_NOTIFIED: EventDefinition(
        N_("Notified that a board left the group: %(name)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.GROUP_LEAVE_NOTIFY_FAILED: EventDefinition(
        N_("Could not be notified that a board left the group: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
    ),
    EventType.ONBOARDING_STARTED: EventDefinition(
        N_("Board setup started: %(name)s"),
        N_("board setup started"),
        ONBOARDING,
        feed_kind="boards",
        feed_text=N_("%(actor)s started the setup of %(subject)s"),
    ),
    EventType.ONBOARDING_UPDATED: EventDefinition(
        N_("Board setup continued: %(name)s"), NOT_AUDITED, ONBOARDING
    ),
    EventType.ONBOARDING_CONFIRMED: EventDefinition(
        N_("Objective confirmed: %(name)s"),
        N_("board setup confirmed"),
        ONBOARDING,
        feed_kind="boards",
        feed_text=N_("%(actor)s confirmed the objective of %(subject)s"),
        is_kept=True,  # whom the agents of the board work for
    ),
    EventType.TASK_CREATED: EventDefinition(
        N_("Task created: %(title)s"),
        N_("task created"),
        TASK,
        feed_kind="tasks",
        feed_text=N_("%(actor)s created %(subject)s"),
        history_text=N_("%(actor)s created this task."),
        cause_text="created",
        moves_task=True,
        streams=("task",),
        is_public=True,
    ),
    EventType.TASK_UPDATED: EventDefinition(
        N_("Task changed: %(title)s"),
        N_("task updated"),
        TASK_CONTENT,
        feed_kind="tasks",
        feed_text=N_("%(actor)s changed %(subject)s"),
        cause_text="changed",
        streams=("task",),
        is_public=True,
    ),
    EventType.TASK_STATUS_CHANGED: EventDefinition(
        N_("Task moved: %(title)s"),
        N_("task status changed"),
        TASK_CONTENT,
        feed_kind="tasks",
        feed_text=N_("%(actor)s moved %(subject)s"),
        cause_text="moved",
        moves_task=True,
        streams=("task",),
        is_public=True,
    ),
    EventType.TASK_REORDERED: EventDefinition(
        N_("Task moved within its column: %(title)s"),
        NOT_AUDITED,
        ("task-order",),
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.TASK_COMMENT: EventDefinition(
        N_("Comment on a task: %(title)s"),
        NOT_AUDITED,
        ("comments-{task}", "comments", *CARD, "board-summaries", "activity"),
        feed_kind="comments",
        feed_text=N_("%(actor)s commented on %(subject)s"),
        is_in_history=False,  # which has the comment itself
        streams=("task",),
        is_public=True,
    ),
    EventType.TASK_LINK_UPDATED: EventDefinition(
        N_("Link of a task updated: %(title)s"), NOT_AUDITED, TASK_CARD, is_in_feeds=False
    ),
    EventType.TASK_STALE: EventDefinition(
        N_("No activity on the task: %(title)s"),
        NOT_AUDITED,
        TASK_CARD,
        history_text=N_("No activity on this task."),
    ),
    EventType.TASK_ACTIVE: EventDefinition(
        N_("Work on the task continues: %(title)s"),
        NOT_AUDITED,
        TASK_CARD,
        history_text=N_("Work on this task continues."),
    ),
    EventType.TASK_DELETED: EventDefinition(
        N_("Task deleted: %(title)s"),
        N_("task deleted"),
        (*TASK, *INBOX, "rail", "trash"),
        feed_kind="tasks",
        feed_text=N_("%(actor)s deleted %(subject)s"),
        history_text=N_("%(actor)s deleted this task."),
        cause_text="deleted",
        moves_task=True,
        streams=("task", "approval"),  # with its approvals
        is_public=True,
    ),
    EventType.TASK_RESTORED: EventDefinition(
        N_("Task restored: %(title)s"),
        N_("task restored"),
        (*TASK, *INBOX, "rail", "trash"),
        feed_kind="tasks",
        feed_text=N_("%(actor)s restored %(subject)s"),
        history_text=N_("%(actor)s restored this task."),
        cause_text="restored",
        moves_task=True,
        streams=("task", "approval"),  # with its approvals
        is_public=True,
    ),
    EventType.TASK_PURGED: EventDefinition(
        N_("Task deleted permanently: %(title)s"),
        N_("task deleted permanently"),
        ("trash", "activity"),
        feed_kind="tasks",
        feed_text=N_("%(actor)s deleted %(subject)s permanently"),
        history_text=N_("%(actor)s deleted this task permanently."),
    ),
    EventType.TASK_LEAD_NOTIFIED: EventDefinition(
        N_("Lead notified about a new task: %(title)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s was notified about this task."),
    ),
    EventType.TASK_LEAD_NOTIFY_FAILED: EventDefinition(
        N_("Lead could not be notified about a new task: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s could not be notified about this task: %(error)s"),
    ),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: EventDefinition(
        N_("Lead notified about an unassigned task: %(title)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s was notified that this task is unassigned."),
    ),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: EventDefinition(
        N_("Lead could not be notified about an unassigned task: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s could not be notified that this task is unassigned: %(error)s"),
    ),
    EventType.TASK_ASSIGNEE_NOTIFIED: EventDefinition(
        N_("Assignee notified: %(title)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s was notified of the assignment."),
    ),
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: EventDefinition(
        N_("Assignee could not be notified: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s could not be notified of the assignment: %(error)s"),
    ),
    EventType.TASK_REWORK_NOTIFIED: EventDefinition(
        N_("Worker notified about requested changes: %(title)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s was notified about the requested changes."),
    ),
    EventType.TASK_REWORK_NOTIFY_FAILED: EventDefinition(
        N_("Worker could not be notified about requested changes: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s could not be notified about the requested changes: %(error)s"),
    ),
    EventType.APPROVAL_POLICY_UPDATED: EventDefinition(
        N_("Approval policy changed: %(name)s"),
        N_("approval policy updated"),
        ("board", "activity"),
    ),
    EventType.APPROVAL_REQUESTED: EventDefinition(
        N_("Approval requested: %(question)s"),
        N_("approval requested"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_("%(actor)s requested approval: %(subject)s"),
        streams=("approval",),
        is_public=True,
    ),
    EventType.APPROVAL_REQUESTS_HELD: EventDefinition(
        N_(
            "%(name)s requests approvals too often: %(recent)s in the last hour,"
            " %(pending)s pending"
        ),
        N_("approval requests refused"),
        (*INBOX, "boards", "rail", "activity"),
        feed_kind="agents",
        feed_text=N_(
            "%(actor)s requests approvals too often: %(recent)s in the last hour,"
            " %(pending)s pending"
        ),
    ),
    # A decision that can still be undone leaves no entry if it is undone.
    EventType.APPROVAL_WAIT_CHANGED: EventDefinition(
        N_("A client started or stopped waiting: %(question)s"),
        NOT_AUDITED,
        ("approval-{approval}", "approvals"),
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.APPROVAL_DECIDED: EventDefinition(
        N_("Approval decided (%(answer)s): %(question)s"),
        N_("approval decided"),
        APPROVAL,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.APPROVAL_FIRST_APPROVED: EventDefinition(
        N_("Approved by the first of two people: %(question)s"),
        N_("approved by the first of two people"),
        APPROVAL,
        history_text=N_("%(actor)s approved this, as the first of two people."),
        is_public=True,
    ),
    EventType.APPROVAL_UNDONE: EventDefinition(
        N_("Decision undone: %(question)s"),
        N_("decision undone"),
        APPROVAL,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.APPROVAL_LAPSED: EventDefinition(
        N_("A decision no longer counts, because its person may no longer decide: %(question)s"),
        N_("decision no longer counted"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_(
            "A decision no longer counts, because its person may no longer decide: %(subject)s"
        ),
    ),
    EventType.APPROVAL_APPROVED: EventDefinition(
        N_("Approved: %(question)s"),
        N_("request approved"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_("%(actor)s approved: %(subject)s"),
        streams=("approval",),
        is_public=True,
    ),
    EventType.APPROVAL_REJECTED: EventDefinition(
        N_("Rejected: %(question)s"),
        N_("request rejected"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_("%(actor)s rejected: %(subject)s"),
        streams=("approval",),
        is_public=True,
    ),
    EventType.APPROVAL_REOPENED: EventDefinition(
        N_("Approval reopened: %(question)s"),
        N_("approval reopened"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_("%(actor)s reopened: %(subject)s"),
    ),
    EventType.APPROVAL_CLARIFICATION_REQUESTED: EventDefinition(
        N_("Clarification requested: %(question)s"),
        N_("question about an approval asked"),
        APPROVAL,
        feed_kind="questions",
        feed_text=N_("%(actor)s requested clarification: %(subject)s"),
        is_public=True,
    ),
    EventType.APPROVAL_LEAD_NOTIFIED: EventDefinition(
        N_("Lead notified about a decision: %(question)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s was notified about the decision."),
    ),
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: EventDefinition(
        N_("Lead could not be notified about a decision: %(error)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        history_text=N_("%(actor)s could not be notified about the decision: %(error)s"),
    ),
    EventType.AGENT_CREATED: EventDefinition(
        N_("Agent created: %(name)s"),
        N_("agent created"),
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s added the agent %(subject)s"),
        streams=("agent",),
        is_public=True,
    ),
    EventType.AGENT_UPDATED: EventDefinition(
        N_("Agent changed: %(name)s"),
        N_("agent updated"),
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s changed the agent %(subject)s"),
        streams=("agent",),
        is_public=True,
    ),
    EventType.AGENT_DELETED: EventDefinition(
        N_("Agent deleted: %(name)s"),
        N_("agent deleted"),
        (*AGENT, "tasks"),
        feed_kind="agents",
        feed_text=N_("%(actor)s removed the agent %(subject)s"),
        streams=("agent",),
        is_public=True,
        is_kept=True,  # the name of what has a deleted author
    ),
    EventType.AGENT_STATUS_CHANGED: EventDefinition(
        N_("Status of %(name)s: %(state)s"),
        N_("deletion of an agent requested"),
        (*SHOWN_STATE, "board-summaries"),  # many at once: see _sidebar.html
        feed_kind="agents",
        feed_text=N_("Status of %(actor)s: %(state)s"),
        streams=("agent",),
        is_public=True,
    ),
    EventType.AGENT_HELD: EventDefinition(
        N_("Agent stopped automatically: %(name)s. %(reason)s"),
        N_("agent stopped automatically"),
        HELD,
        feed_kind="agents",
        feed_text=N_("%(actor)s was stopped automatically"),
        shown_without_board="admins",
        streams=("agent",),
        is_public=True,
    ),
    EventType.AGENT_RELEASED: EventDefinition(
        N_("Agent may work again: %(name)s"),
        N_("agent may work again"),
        HELD,
        feed_kind="agents",
        feed_text=N_("%(actor)s let %(subject)s work again"),
        shown_without_board="admins",
        streams=("agent",),
        is_public=True,
    ),
    EventType.AGENT_PAUSED: EventDefinition(
        N_("Agent paused: %(name)s"),
        N_("agent paused"),
        HELD,
        feed_kind="agents",
        feed_text=N_("%(actor)s paused %(subject)s"),
        shown_without_board="admins",
        streams=("agent",),
    ),
    EventType.AGENT_RESUMED: EventDefinition(
        N_("Agent resumed: %(name)s"),
        N_("agent resumed"),
        HELD,
        feed_kind="agents",
        feed_text=N_("%(actor)s resumed %(subject)s"),
        shown_without_board="admins",
        streams=("agent",),
    ),
    EventType.AGENT_TOKEN_ISSUED: EventDefinition(
        N_("New agent token: %(name)s"),
        N_("agent token issued"),
        ("agent-{agent}", "activity"),
        feed_kind="agents",
        feed_text=N_("%(actor)s created a token for %(subject)s"),
    ),
    EventType.AGENT_SOUL_UPDATED: EventDefinition(
        N_("Soul of an agent changed: %(name)s"),
        N_("SOUL.md of an agent updated"),
        ("agent-{agent}", "activity"),
        feed_kind="agents",
        feed_text=N_("%(actor)s changed the soul of %(subject)s"),
    ),
    EventType.AGENT_PROVISIONED: EventDefinition(
        N_("Agent created on its gateway: %(name)s"), NOT_AUDITED, AGENT
    ),
    EventType.AGENT_PROVISION_FAILED: EventDefinition(
        N_("Agent could not be created on its gateway: %(name)s. %(reason)s"),
        NOT_AUDITED,
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s could not be created on its gateway"),
    ),
    EventType.AGENT_SYNCED: EventDefinition(
        N_("Agent updated on its gateway: %(name)s"), NOT_AUDITED, STATE, is_in_feeds=False
    ),
    EventType.AGENT_UPDATE_FAILED: EventDefinition(
        N_("Agent could not be updated on its gateway: %(name)s. %(reason)s"),
        NOT_AUDITED,
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s could not be updated on its gateway"),
    ),
    EventType.AGENT_WOKEN: EventDefinition(
        N_("Agent woken: %(name)s"), NOT_AUDITED, ("agent-{agent}", "activity")
    ),
    EventType.AGENT_LOST: EventDefinition(
        N_("Agent was missing on its gateway and is created again: %(name)s"),
        N_("agent lost"),
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s was missing on its gateway and is created again"),
    ),
    EventType.AGENT_DELETE_FAILED: EventDefinition(
        N_("Agent could not be removed from its gateway: %(name)s. %(reason)s"),
        N_("agent could not be deleted"),
        AGENT,
        feed_kind="agents",
        feed_text=N_("%(actor)s could not be removed from its gateway"),
    ),
    EventType.AGENT_CLIENT_CONNECTED: EventDefinition(
        N_("%(name)s is connected with %(client)s"),
        NOT_AUDITED,
        (*STATE, "coding-sessions-{agent}"),
        feed_kind="agents",
        feed_text=N_("%(actor)s is connected with %(client)s"),
    ),
    EventType.AGENT_CLIENT_DISCONNECTED: EventDefinition(
        N_("%(name)s is no longer connected with %(client)s"),
        NOT_AUDITED,
        (*STATE, "coding-sessions-{agent}"),
        feed_kind="agents",
        feed_text=N_("%(actor)s is no longer connected with %(client)s"),
    ),
    EventType.AGENT_SESSION_CHANGED: EventDefinition(
        N_("A session of %(name)s with %(client)s has changed"),
        NOT_AUDITED,
        (*SHOWN_STATE, "coding-sessions-{agent}"),
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.AGENT_TOOL_UNGATED: EventDefinition(
        N_("%(name)s called %(tool)s without permission"),
        N_("tool call without a request"),
        (*AGENT, "coding-sessions-{agent}"),
        feed_kind="agents",
        feed_text=N_("%(actor)s called %(tool)s without permission"),
        is_public=True,
    ),
    EventType.AGENT_TOOLS_UNGATED: EventDefinition(
        N_("%(name)s calls tools without permission: %(recent)s in the last hour"),
        N_("tool calls without requests"),
        (*AGENT, "coding-sessions-{agent}"),
        feed_kind="agents",
        feed_text=N_("%(actor)s calls tools without permission: %(recent)s in the last hour"),
        is_public=True,
    ),
    EventType.AGENT_GRANT_CREATED: EventDefinition(
        N_("Permission for %(name)s created: %(tool)s"),
        N_("permission for tool calls created"),
        ("agent-{agent}", "coding-sessions-{agent}", "activity"),
        feed_kind="agents",
        feed_text=N_("%(actor)s allowed %(subject)s identical calls of %(tool)s"),
    ),
    EventType.AGENT_GRANT_ENDED: EventDefinition(
        N_("Permission for %(name)s ended: %(tool)s"),
        N_("permission for tool calls ended"),
        ("agent-{agent}", "coding-sessions-{agent}", "activity"),
        feed_kind="agents",
        feed_text=N_("%(actor)s ended the permission of %(subject)s for %(tool)s"),
    ),
    EventType.NUDGE_SENT: EventDefinition(
        N_("Reminder sent: %(name)s"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        feed_kind="agents",
        feed_text=N_("%(actor)s reminded %(subject)s"),
    ),
    EventType.NUDGE_FAILED: EventDefinition(
        N_("Reminder could not be sent: %(error)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.QUESTION_ASKED: EventDefinition(
        N_("Question to people: %(question)s"),
        NOT_AUDITED,
        QUESTION,
        feed_kind="agents",
        feed_text=N_("%(actor)s asks people: %(subject)s"),
    ),
    EventType.QUESTION_ANSWERED: EventDefinition(
        N_("Question answered: %(question)s"),
        NOT_AUDITED,
        QUESTION,
        feed_kind="agents",
        feed_text=N_("%(actor)s answered a question: %(subject)s"),
    ),
    EventType.ASK_USER_SENT: EventDefinition(
        N_("The lead has a question for a person"),
        NOT_AUDITED,
        ACTIVITY_ONLY,
        feed_kind="agents",
        feed_text=N_("%(actor)s has a question for a person"),
    ),
    EventType.ASK_USER_FAILED: EventDefinition(
        N_("The question of the lead could not be sent: %(error)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.LEAD_MESSAGE_SENT: EventDefinition(
        N_("Message sent to the lead: %(name)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.LEAD_MESSAGE_FAILED: EventDefinition(
        N_("Message to the lead could not be sent: %(error)s"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    EventType.LEAD_BROADCAST_SENT: EventDefinition(
        N_("Message sent to all leads"), NOT_AUDITED, ACTIVITY_ONLY
    ),
    # The steps of messages are not in feeds and histories: each notification has its own event.
    EventType.MESSAGE_QUEUED: EventDefinition(
        N_("Message to an agent queued: %(kind)s"),
        NOT_AUDITED,
        MESSAGE,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.MESSAGE_SENT: EventDefinition(
        N_("Message to an agent sent: %(kind)s"),
        NOT_AUDITED,
        MESSAGE,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.MESSAGE_ACKNOWLEDGED: EventDefinition(
        N_("Message to an agent received: %(kind)s"),
        NOT_AUDITED,
        MESSAGE,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.MESSAGE_FAILED: EventDefinition(
        N_("Message to an agent failed: %(error)s"),
        NOT_AUDITED,
        MESSAGE,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.GATEWAY_REQUEST_ASKED: EventDefinition(
        N_("New request of %(name)s: %(request)s"),
        N_("gateway request received"),
        REQUEST,
        feed_kind="questions",
        feed_text=N_("%(actor)s sent a request: %(subject)s"),
        is_public=True,
    ),
    EventType.GATEWAY_REQUEST_ANSWERED: EventDefinition(
        N_("Request of %(name)s answered (%(answer)s): %(request)s"),
        N_("gateway request answered"),
        REQUEST,
        feed_kind="questions",
        feed_text=N_("%(actor)s answered a request of %(name)s: %(subject)s"),
        is_public=True,
    ),
    EventType.GATEWAY_REQUEST_DELIVERED: EventDefinition(
        N_("Answer delivered to %(name)s: %(request)s"),
        NOT_AUDITED,
        ("gateway-requests",),
        is_in_feeds=False,  # the answer is an event before
    ),
    EventType.GATEWAY_REQUEST_LOST: EventDefinition(
        N_("Request of %(name)s not answered here: %(error)s"),
        N_("gateway request lost"),
        REQUEST,
        feed_kind="questions",
        feed_text=N_("A request of %(actor)s was not answered here: %(subject)s"),
    ),
    EventType.GATEWAY_REQUEST_EXPIRED: EventDefinition(
        N_("Request of %(name)s expired: %(request)s"),
        N_("gateway request expired"),
        REQUEST,
        feed_kind="questions",
        feed_text=N_("A request of %(actor)s expired: %(subject)s"),
        is_public=True,
    ),
    EventType.GATEWAY_REQUEST_CANCELLED: EventDefinition(
        N_("Request of %(name)s withdrawn: %(request)s"),
        N_("gateway request withdrawn"),
        REQUEST,
        feed_kind="questions",
        feed_text=N_("%(actor)s withdrew a request: %(subject)s"),
    ),
    EventType.WEBHOOK_ENDPOINT_CREATED: EventDefinition(
        N_("Webhook created: %(name)s"), N_("webhook created"), WEBHOOK
    ),
    EventType.WEBHOOK_ENDPOINT_UPDATED: EventDefinition(
        N_("Webhook changed: %(name)s"), N_("webhook updated"), WEBHOOK
    ),
    EventType.WEBHOOK_ENDPOINT_DELETED: EventDefinition(
        N_("Webhook deleted: %(name)s"), N_("webhook deleted"), WEBHOOK
    ),
    EventType.WEBHOOK_SECRET_ROTATED: EventDefinition(
        N_("Secret of a webhook rotated: %(name)s"), N_("secret of a webhook rotated"), WEBHOOK
    ),
    EventType.WEBHOOK_ENDPOINT_DISABLED: EventDefinition(
        N_("Webhook disabled after failures: %(name)s"),
        N_("webhook disabled after failures"),
        WEBHOOK,
    ),
    EventType.SKILL_PACK_CREATED: EventDefinition(
        N_("Skill pack added: %(name)s"), N_("skill pack created"), SKILLS
    ),
    EventType.SKILL_PACK_UPDATED: EventDefinition(
        N_("Skill pack changed: %(name)s"), N_("skill pack updated"), SKILLS
    ),
    EventType.SKILL_PACK_FETCHED: EventDefinition(
        N_("Update of a skill pack fetched: %(name)s"), N_("update of a skill pack fetched"), SKILLS
    ),
    EventType.SKILL_PACK_SYNCED: EventDefinition(
        N_("Skills of a pack updated: %(name)s"), N_("skills of a pack updated"), SKILLS
    ),
    EventType.SKILL_PACK_DELETED: EventDefinition(
        N_("Skill pack deleted: %(name)s"), N_("skill pack deleted"), SKILLS
    ),
    EventType.SKILL_CREATED: EventDefinition(
        N_("Skill added: %(name)s"), N_("skill created"), SKILLS
    ),
    EventType.SKILL_UPDATED: EventDefinition(
        N_("Skill changed: %(name)s"), N_("skill updated"), SKILLS
    ),
    EventType.SKILL_DELETED: EventDefinition(
        N_("Skill deleted: %(name)s"), N_("skill deleted"), SKILLS
    ),
    EventType.SKILL_INSTALL_REQUESTED: EventDefinition(
        N_("Installation of a skill on %(gateway)s requested: %(name)s"),
        N_("installation of a skill requested"),
        SKILLS,
    ),
    EventType.SKILL_REMOVAL_REQUESTED: EventDefinition(
        N_("Removal of a skill from %(gateway)s requested: %(name)s"),
        N_("removal of a skill requested"),
        SKILLS,
    ),
    EventType.SKILL_INSTALLED: EventDefinition(
        N_("Skill installed on %(gateway)s: %(name)s"), N_("skill installed"), SKILLS
    ),
    EventType.SKILL_REMOVED: EventDefinition(
        N_("Skill removed from %(gateway)s: %(name)s"), N_("skill removed"), SKILLS
    ),
    EventType.SKILL_REQUEST_FAILED: EventDefinition(
        N_("Request about a skill has failed on %(gateway)s: %(name)s"),
        N_("request about a skill failed"),
        SKILLS,
    ),
    # The steps of a run are shown with the run.
    EventType.RUN_STARTED: EventDefinition(
        N_("%(name)s started a run on its gateway"),
        NOT_AUDITED,
        (*RUN, *STATE),
        is_in_feeds=False,
        is_in_history=False,
        is_public=True,
    ),
    EventType.RUN_CHANGED: EventDefinition(
        N_("Run of %(name)s changed: %(status)s"),
        NOT_AUDITED,
        RUN,
        is_in_feeds=False,
        is_in_history=False,
    ),
    EventType.RUN_ENDED: EventDefinition(
        N_("Run of %(name)s ended"),
        NOT_AUDITED,
        (*RUN, *STATE),
        is_in_feeds=False,
        is_in_history=False,
        is_public=True,
    ),
}
"""Every type has an entry, and the entry says whether it is audited."""


def list_types(is_listed: Callable[[EventDefinition], bool]) -> tuple[EventType, ...]:
    """Return the types whose entries match a condition, in the order of the table."""
    return tuple(type for type, entry in EVENT_DEFINITIONS.items() if is_listed(entry))
