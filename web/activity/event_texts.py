"""The wording of events on pages, in the reader's language.

The API has its own texts, which programs and agents rely on (`services/activity/event_texts.py`).
"""

from collections.abc import Mapping

from models import AgentStatus, Event, EventType, RequestKind, Status
from web.agents.messages import describe_message_kind
from web.approvals.sentences import translate_question
from web.ui.markdown import excerpt_markdown
from web.ui.translation import N_, _, translate

EVENT_TEXTS: Mapping[EventType, str] = {
    EventType.ORGANIZATION_CREATED: N_("Organization created: %(name)s"),
    EventType.ORGANIZATION_UPDATED: N_("Organization renamed: %(name)s"),
    EventType.ORGANIZATION_RULES_UPDATED: N_("Rules of the organization changed: %(name)s"),
    EventType.ORGANIZATION_STOPPED: N_("All agents stopped: %(reason)s"),
    EventType.ORGANIZATION_RESUMED: N_("All agents resumed"),
    EventType.MEMBER_JOINED: N_("Member joined: %(name)s"),
    EventType.MEMBER_UPDATED: N_("Member changed: %(name)s"),
    EventType.MEMBER_REMOVED: N_("Member removed: %(name)s"),
    EventType.MEMBER_PASSWORD_LINKED: N_("Link for a new password created: %(name)s"),
    EventType.MEMBER_PASSWORD_CHANGED: N_("Password changed with a link: %(name)s"),
    EventType.INVITE_CREATED: N_("Invited: %(email)s"),
    EventType.INVITE_REVOKED: N_("Invitation withdrawn: %(email)s"),
    EventType.TAG_CREATED: N_("Tag created: %(name)s"),
    EventType.TAG_UPDATED: N_("Tag changed: %(name)s"),
    EventType.TAG_DELETED: N_("Tag deleted: %(name)s"),
    EventType.CUSTOM_FIELD_CREATED: N_("Custom field created: %(name)s"),
    EventType.CUSTOM_FIELD_UPDATED: N_("Custom field changed: %(name)s"),
    EventType.CUSTOM_FIELD_DELETED: N_("Custom field deleted: %(name)s"),
    EventType.BOARD_GROUP_CREATED: N_("Board group created: %(name)s"),
    EventType.BOARD_GROUP_UPDATED: N_("Board group changed: %(name)s"),
    EventType.BOARD_GROUP_DELETED: N_("Board group deleted: %(name)s"),
    EventType.GROUP_MEMORY_CREATED: N_("Note added to a board group: %(name)s"),
    EventType.GROUP_MEMORY_UPDATED: N_("Note of a board group changed: %(name)s"),
    EventType.GROUP_MEMORY_DELETED: N_("Note of a board group deleted: %(name)s"),
    EventType.GATEWAY_CREATED: N_("Gateway added: %(name)s"),
    EventType.GATEWAY_UPDATED: N_("Gateway changed: %(name)s"),
    EventType.GATEWAY_DELETED: N_("Gateway removed: %(name)s"),
    EventType.GATEWAY_GRANT_REVOCATION_REQUESTED: N_(
        "Revocation of the standing grant of the automation %(automation)s on %(name)s requested"
    ),
    EventType.GATEWAY_GRANT_REVOKED: N_(
        "Standing grant of the automation %(automation)s revoked on %(name)s"
    ),
    EventType.BOARD_CREATED: N_("Board created: %(name)s"),
    EventType.BOARD_UPDATED: N_("Board changed: %(name)s"),
    EventType.BOARD_DELETED: N_("Board deleted: %(name)s"),
    EventType.BOARD_PAUSED: N_("Agents paused: %(name)s"),
    EventType.BOARD_RESUMED: N_("Agents resumed: %(name)s"),
    EventType.BOARD_WEBHOOK_CREATED: N_("Webhook created: %(name)s"),
    EventType.BOARD_WEBHOOK_UPDATED: N_("Webhook changed: %(name)s"),
    EventType.BOARD_WEBHOOK_DELETED: N_("Webhook deleted: %(name)s"),
    EventType.BOARD_WEBHOOK_RECEIVED: N_("Data received by a webhook: %(name)s"),
    EventType.SAVED_VIEW_CREATED: N_("Shared view saved: %(name)s"),
    EventType.SAVED_VIEW_UPDATED: N_("Shared view changed: %(name)s"),
    EventType.SAVED_VIEW_DELETED: N_("Shared view deleted: %(name)s"),
    EventType.BOARD_MEMORY_CREATED: N_("Note added to a board: %(name)s"),
    EventType.BOARD_MEMORY_UPDATED: N_("Note of a board changed: %(name)s"),
    EventType.BOARD_MEMORY_DELETED: N_("Note of a board deleted: %(name)s"),
    EventType.BOARD_LEAD_NOTIFIED: N_("Lead notified about the board: %(name)s"),
    EventType.BOARD_LEAD_NOTIFY_FAILED: N_("Lead could not be notified about the board: %(error)s"),
    EventType.GROUP_JOIN_NOTIFIED: N_("Notified that a board joined the group: %(name)s"),
    EventType.GROUP_JOIN_NOTIFY_FAILED: N_(
        "Could not be notified that a board joined the group: %(error)s"
    ),
    EventType.GROUP_LEAVE_NOTIFIED: N_("Notified that a board left the group: %(name)s"),
    EventType.GROUP_LEAVE_NOTIFY_FAILED: N_(
        "Could not be notified that a board left the group: %(error)s"
    ),
    EventType.ONBOARDING_STARTED: N_("Board setup started: %(name)s"),
    EventType.ONBOARDING_UPDATED: N_("Board setup continued: %(name)s"),
    EventType.ONBOARDING_CONFIRMED: N_("Objective confirmed: %(name)s"),
    EventType.TASK_CREATED: N_("Task created: %(title)s"),
    EventType.TASK_UPDATED: N_("Task changed: %(title)s"),
    EventType.TASK_STATUS_CHANGED: N_("Task moved: %(title)s"),
    EventType.TASK_STALE: N_("Nothing happens on the task: %(title)s"),
    EventType.TASK_ACTIVE: N_("Work on the task goes on: %(title)s"),
    EventType.TASK_REORDERED: N_("Task moved within its column: %(title)s"),
    EventType.TASK_COMMENT: N_("Comment on a task: %(title)s"),
    EventType.TASK_LINK_UPDATED: N_("Link of a task updated: %(title)s"),
    EventType.TASK_DELETED: N_("Task deleted: %(title)s"),
    EventType.TASK_RESTORED: N_("Task restored: %(title)s"),
    EventType.TASK_LEAD_NOTIFIED: N_("Lead notified about a new task: %(title)s"),
    EventType.TASK_LEAD_NOTIFY_FAILED: N_("Lead could not be notified about a new task: %(error)s"),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: N_(
        "Lead notified about an unassigned task: %(title)s"
    ),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: N_(
        "Lead could not be notified about an unassigned task: %(error)s"
    ),
    EventType.TASK_ASSIGNEE_NOTIFIED: N_("Assignee notified: %(title)s"),
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: N_("Assignee could not be notified: %(error)s"),
    EventType.TASK_REWORK_NOTIFIED: N_("Worker notified about requested changes: %(title)s"),
    EventType.TASK_REWORK_NOTIFY_FAILED: N_(
        "Worker could not be notified about requested changes: %(error)s"
    ),
    EventType.APPROVAL_POLICY_UPDATED: N_("Approval policy changed: %(name)s"),
    EventType.APPROVAL_REQUESTED: N_("Approval requested: %(question)s"),
    EventType.APPROVAL_REQUESTS_HELD: N_(
        "%(name)s requests approvals too often: %(recent)s in the last hour, %(pending)s pending"
    ),
    EventType.APPROVAL_DECIDED: N_("Approval decided: %(question)s"),
    EventType.APPROVAL_FIRST_APPROVED: N_("Approved by the first of two people: %(question)s"),
    EventType.APPROVAL_UNDONE: N_("Decision undone: %(question)s"),
    EventType.APPROVAL_LAPSED: N_(
        "A decision no longer counts, because its person may no longer decide: %(question)s"
    ),
    EventType.APPROVAL_APPROVED: N_("Approved: %(question)s"),
    EventType.APPROVAL_REJECTED: N_("Rejected: %(question)s"),
    EventType.APPROVAL_REOPENED: N_("Approval reopened: %(question)s"),
    EventType.APPROVAL_CLARIFICATION_REQUESTED: N_("Clarification requested: %(question)s"),
    EventType.APPROVAL_LEAD_NOTIFIED: N_("Lead notified about a decision: %(question)s"),
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: N_(
        "Lead could not be notified about a decision: %(error)s"
    ),
    EventType.AGENT_CREATED: N_("Agent created: %(name)s"),
    EventType.AGENT_UPDATED: N_("Agent changed: %(name)s"),
    EventType.AGENT_DELETED: N_("Agent deleted: %(name)s"),
    EventType.AGENT_STATUS_CHANGED: N_("Status of %(name)s: %(state)s"),
    EventType.AGENT_HELD: N_("Agent held: %(name)s. %(reason)s"),
    EventType.AGENT_RELEASED: N_("Agent released: %(name)s"),
    EventType.AGENT_PAUSED: N_("Agent paused: %(name)s"),
    EventType.AGENT_RESUMED: N_("Agent resumed: %(name)s"),
    EventType.AGENT_TOKEN_ISSUED: N_("New agent token: %(name)s"),
    EventType.AGENT_SOUL_UPDATED: N_("Soul of an agent changed: %(name)s"),
    EventType.AGENT_PROVISIONED: N_("Agent created on its gateway: %(name)s"),
    EventType.AGENT_PROVISION_FAILED: N_(
        "Agent could not be created on its gateway: %(name)s. %(reason)s"
    ),
    EventType.AGENT_SYNCED: N_("Agent updated on its gateway: %(name)s"),
    EventType.AGENT_UPDATE_FAILED: N_(
        "Agent could not be updated on its gateway: %(name)s. %(reason)s"
    ),
    EventType.AGENT_WOKEN: N_("Agent woken: %(name)s"),
    EventType.AGENT_LOST: N_("Agent was missing on its gateway and is created again: %(name)s"),
    EventType.AGENT_DELETE_FAILED: N_(
        "Agent could not be removed from its gateway: %(name)s. %(reason)s"
    ),
    EventType.NUDGE_SENT: N_("Reminder sent: %(name)s"),
    EventType.NUDGE_FAILED: N_("Reminder could not be sent: %(error)s"),
    EventType.QUESTION_ASKED: N_("Question to people: %(question)s"),
    EventType.QUESTION_ANSWERED: N_("Question answered: %(question)s"),
    EventType.ASK_USER_SENT: N_("The lead has a question for a person"),
    EventType.ASK_USER_FAILED: N_("The question of the lead could not be sent: %(error)s"),
    EventType.LEAD_MESSAGE_SENT: N_("Message sent to the lead: %(name)s"),
    EventType.LEAD_MESSAGE_FAILED: N_("Message to the lead could not be sent: %(error)s"),
    EventType.LEAD_BROADCAST_SENT: N_("Message sent to all leads"),
    EventType.MESSAGE_QUEUED: N_("Message to an agent queued: %(kind)s"),
    EventType.MESSAGE_SENT: N_("Message to an agent sent: %(kind)s"),
    EventType.MESSAGE_ACKNOWLEDGED: N_("Message to an agent received: %(kind)s"),
    EventType.MESSAGE_FAILED: N_("Message to an agent failed: %(error)s"),
    EventType.GATEWAY_REQUEST_ASKED: N_("New request of %(name)s: %(request)s"),
    EventType.GATEWAY_REQUEST_ANSWERED: N_("Request of %(name)s answered: %(request)s"),
    EventType.GATEWAY_REQUEST_DELIVERED: N_("Answer delivered to %(name)s: %(request)s"),
    EventType.GATEWAY_REQUEST_LOST: N_("Request of %(name)s not answered here: %(error)s"),
    EventType.GATEWAY_REQUEST_EXPIRED: N_("Request of %(name)s expired: %(request)s"),
    EventType.GATEWAY_REQUEST_CANCELLED: N_("Request of %(name)s withdrawn: %(request)s"),
    EventType.WEBHOOK_ENDPOINT_CREATED: N_("Webhook created: %(name)s"),
    EventType.WEBHOOK_ENDPOINT_UPDATED: N_("Webhook changed: %(name)s"),
    EventType.WEBHOOK_ENDPOINT_DELETED: N_("Webhook deleted: %(name)s"),
    EventType.WEBHOOK_SECRET_ROTATED: N_("Secret of a webhook rotated: %(name)s"),
    EventType.WEBHOOK_ENDPOINT_DISABLED: N_("Webhook disabled after failures: %(name)s"),
    EventType.SKILL_PACK_CREATED: N_("Skill pack added: %(name)s"),
    EventType.SKILL_PACK_UPDATED: N_("Skill pack changed: %(name)s"),
    EventType.SKILL_PACK_FETCHED: N_("Update of a skill pack fetched: %(name)s"),
    EventType.SKILL_PACK_SYNCED: N_("Skills of a pack updated: %(name)s"),
    EventType.SKILL_PACK_DELETED: N_("Skill pack deleted: %(name)s"),
    EventType.SKILL_CREATED: N_("Skill added: %(name)s"),
    EventType.SKILL_UPDATED: N_("Skill changed: %(name)s"),
    EventType.SKILL_DELETED: N_("Skill deleted: %(name)s"),
    EventType.SKILL_INSTALL_REQUESTED: N_(
        "Installation of a skill on %(gateway)s requested: %(name)s"
    ),
    EventType.SKILL_REMOVAL_REQUESTED: N_(
        "Removal of a skill from %(gateway)s requested: %(name)s"
    ),
    EventType.SKILL_INSTALLED: N_("Skill installed on %(gateway)s: %(name)s"),
    EventType.SKILL_REMOVED: N_("Skill removed from %(gateway)s: %(name)s"),
    EventType.SKILL_REQUEST_FAILED: N_("Request about a skill has failed on %(gateway)s: %(name)s"),
    EventType.RUN_STARTED: N_("%(name)s started a run on its gateway"),
    EventType.RUN_CHANGED: N_("Run of %(name)s changed"),
    EventType.RUN_ENDED: N_("Run of %(name)s ended"),
}
"""The text of an event without its actor."""

TASK_MOVES: Mapping[str, str] = {
    Status.INBOX: N_("Task moved to the inbox: %(title)s"),
    Status.IN_PROGRESS: N_("Task started: %(title)s"),
    Status.REVIEW: N_("Task moved to review: %(title)s"),
    Status.DONE: N_("Task completed: %(title)s"),
}
"""The text of a task that entered a status."""

AGENT_STATUSES: Mapping[str, str] = {
    AgentStatus.PROVISIONING: N_("Starting"),
    AgentStatus.ONLINE: N_("Online"),
    AgentStatus.OFFLINE: N_("Offline"),
    AgentStatus.UPDATING: N_("Updating"),
    AgentStatus.DELETING: N_("Being removed"),
}
"""The statuses of agents in events. Agents may report others, which are not translated."""

TEXT_VALUES = (
    *("name", "title", "email", "kind", "question", "error", "reason", "recent", "pending"),
    *("gateway", "automation"),
)
"""The values of an event's data that its texts contain."""

MESSAGE_TYPES = (
    EventType.MESSAGE_QUEUED,
    EventType.MESSAGE_SENT,
    EventType.MESSAGE_ACKNOWLEDGED,
)
"""Events whose kind is that of a message."""

LINE_END = " :\uff1a"  # what precedes a missing value, in English and in Chinese

FEED_TEXTS: Mapping[EventType, str] = {
    EventType.ORGANIZATION_STOPPED: N_("%(actor)s stopped all agents of %(subject)s"),
    EventType.ORGANIZATION_RESUMED: N_("%(actor)s resumed all agents of %(subject)s"),
    EventType.BOARD_CREATED: N_("%(actor)s created the board %(subject)s"),
    EventType.BOARD_UPDATED: N_("%(actor)s changed the board %(subject)s"),
    EventType.BOARD_PAUSED: N_("%(actor)s paused the agents of %(subject)s"),
    EventType.BOARD_RESUMED: N_("%(actor)s resumed the agents of %(subject)s"),
    EventType.ONBOARDING_STARTED: N_("%(actor)s started the setup of %(subject)s"),
    EventType.ONBOARDING_CONFIRMED: N_("%(actor)s confirmed the objective of %(subject)s"),
    EventType.TASK_CREATED: N_("%(actor)s created %(subject)s"),
    EventType.TASK_UPDATED: N_("%(actor)s changed %(subject)s"),
    EventType.TASK_STATUS_CHANGED: N_("%(actor)s moved %(subject)s"),
    EventType.TASK_COMMENT: N_("%(actor)s commented on %(subject)s"),
    EventType.TASK_DELETED: N_("%(actor)s deleted %(subject)s"),
    EventType.TASK_RESTORED: N_("%(actor)s restored %(subject)s"),
    EventType.APPROVAL_REQUESTED: N_("%(actor)s requested approval: %(subject)s"),
    EventType.APPROVAL_REQUESTS_HELD: N_(
        "%(actor)s requests approvals too often: %(recent)s in the last hour, %(pending)s pending"
    ),
    EventType.APPROVAL_LAPSED: N_(
        "A decision no longer counts, because its person may no longer decide: %(subject)s"
    ),
    EventType.APPROVAL_APPROVED: N_("%(actor)s approved: %(subject)s"),
    EventType.APPROVAL_REJECTED: N_("%(actor)s rejected: %(subject)s"),
    EventType.APPROVAL_REOPENED: N_("%(actor)s reopened: %(subject)s"),
    EventType.APPROVAL_CLARIFICATION_REQUESTED: N_(
        "%(actor)s requested clarification: %(subject)s"
    ),
    EventType.AGENT_CREATED: N_("%(actor)s added the agent %(subject)s"),
    EventType.AGENT_UPDATED: N_("%(actor)s changed the agent %(subject)s"),
    EventType.AGENT_DELETED: N_("%(actor)s removed the agent %(subject)s"),
    EventType.AGENT_STATUS_CHANGED: N_("Status of %(actor)s: %(state)s"),
    EventType.AGENT_HELD: N_("%(actor)s is held"),
    EventType.AGENT_RELEASED: N_("%(actor)s released %(subject)s"),
    EventType.AGENT_PAUSED: N_("%(actor)s paused %(subject)s"),
    EventType.AGENT_RESUMED: N_("%(actor)s resumed %(subject)s"),
    EventType.AGENT_TOKEN_ISSUED: N_("%(actor)s created a token for %(subject)s"),
    EventType.AGENT_SOUL_UPDATED: N_("%(actor)s changed the soul of %(subject)s"),
    EventType.AGENT_PROVISION_FAILED: N_("%(actor)s could not be created on its gateway"),
    EventType.AGENT_UPDATE_FAILED: N_("%(actor)s could not be updated on its gateway"),
    EventType.AGENT_LOST: N_("%(actor)s was missing on its gateway and is created again"),
    EventType.AGENT_DELETE_FAILED: N_("%(actor)s could not be removed from its gateway"),
    EventType.NUDGE_SENT: N_("%(actor)s reminded %(subject)s"),
    EventType.QUESTION_ASKED: N_("%(actor)s asks people: %(subject)s"),
    EventType.QUESTION_ANSWERED: N_("%(actor)s answered a question: %(subject)s"),
    EventType.ASK_USER_SENT: N_("%(actor)s has a question for a person"),
    EventType.GATEWAY_REQUEST_ASKED: N_("%(actor)s sent a request: %(subject)s"),
    EventType.GATEWAY_REQUEST_ANSWERED: N_("%(actor)s answered a request of %(name)s: %(subject)s"),
    EventType.GATEWAY_REQUEST_LOST: N_("A request of %(actor)s was not answered here: %(subject)s"),
    EventType.GATEWAY_REQUEST_EXPIRED: N_("A request of %(actor)s expired: %(subject)s"),
    EventType.GATEWAY_REQUEST_CANCELLED: N_("%(actor)s withdrew a request: %(subject)s"),
}
"""The sentence of an event in the activity feed, with its actor and its subject."""

FEED_MOVES: Mapping[str, str] = {
    Status.INBOX: N_("%(actor)s moved %(subject)s to the inbox"),
    Status.IN_PROGRESS: N_("%(actor)s started %(subject)s"),
    Status.REVIEW: N_("%(actor)s moved %(subject)s to review"),
    Status.DONE: N_("%(actor)s completed %(subject)s"),
}
"""The sentence of a task that entered a status."""

REQUEST_ANSWERS: Mapping[str, str] = {
    "allowed once": N_("%(actor)s allowed a request of %(name)s once: %(subject)s"),
    "allowed always": N_("%(actor)s permanently allowed a request of %(name)s: %(subject)s"),
    "denied": N_("%(actor)s denied a request of %(name)s: %(subject)s"),
    "not answered": N_("%(actor)s left a request of %(name)s unanswered: %(subject)s"),
}
"""The sentence of an answered gateway request, by the answer in the event."""

DEPENDENCY_CHANGES: Mapping[str, str] = {
    "completed_task_id": N_("A task that %(subject)s depends on was completed"),
    "reopened_task_id": N_("A task that %(subject)s depends on was reopened"),
    "deleted_task_id": N_("A task that %(subject)s depends on was deleted"),
    "restored_task_id": N_("A task that %(subject)s depends on was restored"),
}
"""The sentence of an event that a change of another task caused, by the key of that task's id."""


def describe_event(event: Event, comment: str | None = None) -> str:
    """Return the text of an event without its actor; for a comment that still exists, its text.

    It is one line without Markdown.
    """
    if event.type is EventType.TASK_COMMENT and comment:
        return excerpt_markdown(comment)
    text = EVENT_TEXTS[event.type]
    if event.type is EventType.TASK_STATUS_CHANGED:
        text = TASK_MOVES.get(event.data.get("entered", ""), text)
    return (translate(text) % build_values(event)).rstrip(LINE_END)


def describe_request(event: Event) -> str:
    """Name a gateway request by its hash, because readers of a board may not see commands."""
    hash = event.data.get("hash") or ""
    if event.data.get("kind") == RequestKind.QUESTION:
        return _("Question %(hash)s", hash=hash)
    if event.data.get("kind") == RequestKind.PLUGIN:
        return _("Action of a plugin %(hash)s", hash=hash)
    return _("Command %(hash)s", hash=hash)


def build_values(event: Event) -> dict[str, object]:
    """Return the values in the texts of an event, but its actor and its subject."""
    stored = {name: event.data.get(name) for name in TEXT_VALUES}
    values = {name: "" if value is None else value for name, value in stored.items()}
    if event.type.startswith("approval."):
        values["question"] = translate_question(str(values["question"]), event.data)
    elif event.type in MESSAGE_TYPES:
        values["kind"] = describe_message_kind(str(values["kind"]))
    status = str(event.data.get("to") or "")
    state = translate(AGENT_STATUSES.get(status, "")) or status
    return values | {"state": state, "request": describe_request(event)}


def find_feed_text(event: Event) -> str:
    """Return the sentence of an event in the feed; it is not translated yet."""
    data, text = event.data, FEED_TEXTS.get(event.type, "")
    if event.type is EventType.TASK_STATUS_CHANGED:
        text = FEED_MOVES.get(data.get("entered", ""), text)
    elif event.type is EventType.GATEWAY_REQUEST_ANSWERED:
        text = REQUEST_ANSWERS.get(data.get("answer") or "", text)
    return next((cause for key, cause in DEPENDENCY_CHANGES.items() if key in data), text)


def is_caused_by_dependency(event: Event) -> bool:
    """Return whether a change of another task caused an event, and no actor."""
    return any(key in event.data for key in DEPENDENCY_CHANGES)


def name_missing_actor(event: Event) -> str:
    """Return what is shown for an actor without a name: a deleted user or agent, or the server."""
    if event.user_id is not None:
        return _("Deleted user")
    return _("Deleted agent") if event.agent_id is not None else "Mission Control"
