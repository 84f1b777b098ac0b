"""The wording of events: API messages and the activity page.

Nothing else may depend on these words.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from models import Event, EventType, Status


class EventWording(NamedTuple):
    """The texts of an event type. `{name}` is replaced by that value of the event's data."""

    sentence: str  # a complete sentence, for the API
    feed: str = "did something"  # follows the name of the actor on the activity page


WORDING: Mapping[EventType, EventWording] = {
    EventType.ORGANIZATION_CREATED: EventWording("Organization created: {name}"),
    EventType.ORGANIZATION_UPDATED: EventWording("Organization renamed: {name}"),
    EventType.ORGANIZATION_RULES_UPDATED: EventWording("Rules of the organization changed: {name}"),
    EventType.ORGANIZATION_STOPPED: EventWording(
        "All agents stopped: {reason}", feed="stopped all agents of"
    ),
    EventType.ORGANIZATION_RESUMED: EventWording(
        "All agents resumed", feed="resumed all agents of"
    ),
    EventType.MEMBER_JOINED: EventWording("Member joined: {name}"),
    EventType.MEMBER_UPDATED: EventWording("Member changed: {name}"),
    EventType.MEMBER_REMOVED: EventWording("Member removed: {name}"),
    EventType.MEMBER_PASSWORD_LINKED: EventWording("Link for another password made: {name}"),
    EventType.MEMBER_PASSWORD_CHANGED: EventWording("Password changed by a link: {name}"),
    EventType.INVITE_CREATED: EventWording("Invited: {email}"),
    EventType.INVITE_REVOKED: EventWording("Invitation withdrawn: {email}"),
    EventType.TAG_CREATED: EventWording("Tag created: {name}"),
    EventType.TAG_UPDATED: EventWording("Tag changed: {name}"),
    EventType.TAG_DELETED: EventWording("Tag deleted: {name}"),
    EventType.CUSTOM_FIELD_CREATED: EventWording("Custom field created: {name}"),
    EventType.CUSTOM_FIELD_UPDATED: EventWording("Custom field changed: {name}"),
    EventType.CUSTOM_FIELD_DELETED: EventWording("Custom field deleted: {name}"),
    EventType.BOARD_GROUP_CREATED: EventWording("Board group created: {name}"),
    EventType.BOARD_GROUP_UPDATED: EventWording("Board group changed: {name}"),
    EventType.BOARD_GROUP_DELETED: EventWording("Board group deleted: {name}"),
    EventType.GROUP_MEMORY_CREATED: EventWording("Noted in the board group {name}"),
    EventType.GROUP_MEMORY_UPDATED: EventWording("Note changed in the board group {name}"),
    EventType.GROUP_MEMORY_DELETED: EventWording("Note deleted in the board group {name}"),
    EventType.GATEWAY_CREATED: EventWording("Gateway added: {name}"),
    EventType.GATEWAY_UPDATED: EventWording("Gateway changed: {name}"),
    EventType.GATEWAY_DELETED: EventWording("Gateway removed: {name}"),
    EventType.GATEWAY_GRANT_REVOCATION_REQUESTED: EventWording(
        "Revocation of the standing grant of the automation {automation} on {name} requested"
    ),
    EventType.GATEWAY_GRANT_REVOKED: EventWording(
        "Standing grant of the automation {automation} revoked on {name}"
    ),
    EventType.BOARD_CREATED: EventWording("Board created: {name}", feed="made the board"),
    EventType.BOARD_UPDATED: EventWording("Board updated: {name}", feed="changed the board"),
    EventType.BOARD_DELETED: EventWording("Board deleted: {name}"),
    EventType.BOARD_PAUSED: EventWording("Agents paused: {name}", feed="paused the agents of"),
    EventType.BOARD_RESUMED: EventWording("Agents resumed: {name}", feed="let the agents go on:"),
    EventType.BOARD_WEBHOOK_CREATED: EventWording("Webhook created: {name}"),
    EventType.BOARD_WEBHOOK_UPDATED: EventWording("Webhook changed: {name}"),
    EventType.BOARD_WEBHOOK_DELETED: EventWording("Webhook deleted: {name}"),
    EventType.BOARD_WEBHOOK_RECEIVED: EventWording("Data received by a webhook: {name}"),
    EventType.SAVED_VIEW_CREATED: EventWording("Shared view saved: {name}"),
    EventType.SAVED_VIEW_UPDATED: EventWording("Shared view changed: {name}"),
    EventType.SAVED_VIEW_DELETED: EventWording("Shared view deleted: {name}"),
    EventType.BOARD_MEMORY_CREATED: EventWording("Noted on the board {name}"),
    EventType.BOARD_MEMORY_UPDATED: EventWording("Note changed on the board {name}"),
    EventType.BOARD_MEMORY_DELETED: EventWording("Note deleted on the board {name}"),
    EventType.BOARD_LEAD_NOTIFIED: EventWording("Lead told about the board: {name}"),
    EventType.BOARD_LEAD_NOTIFY_FAILED: EventWording(
        "Lead could not be told about the board: {error}"
    ),
    EventType.GROUP_JOIN_NOTIFIED: EventWording("Told that a board joined the group: {name}"),
    EventType.GROUP_JOIN_NOTIFY_FAILED: EventWording(
        "Could not be told that a board joined the group: {error}"
    ),
    EventType.GROUP_LEAVE_NOTIFIED: EventWording("Told that a board left the group: {name}"),
    EventType.GROUP_LEAVE_NOTIFY_FAILED: EventWording(
        "Could not be told that a board left the group: {error}"
    ),
    EventType.ONBOARDING_STARTED: EventWording(
        "Onboarding started: {name}", feed="began to set up"
    ),
    EventType.ONBOARDING_UPDATED: EventWording("Onboarding went on: {name}"),
    EventType.ONBOARDING_CONFIRMED: EventWording(
        "Goal confirmed: {name}", feed="confirmed the goal of"
    ),
    EventType.TASK_CREATED: EventWording("Task created: {title}", feed="created"),
    EventType.TASK_UPDATED: EventWording("Task updated: {title}", feed="changed"),
    EventType.TASK_STATUS_CHANGED: EventWording("Task moved to {entered}: {title}"),
    EventType.TASK_LINK_UPDATED: EventWording("Link of a task updated: {title}"),
    EventType.TASK_STALE: EventWording("Nothing happens on the task: {title}"),
    EventType.TASK_ACTIVE: EventWording("Work on the task goes on: {title}"),
    EventType.TASK_REORDERED: EventWording("Task moved within its column: {title}"),
    EventType.TASK_COMMENT: EventWording("Comment on a task: {title}", feed="commented on"),
    EventType.TASK_DELETED: EventWording("Task deleted: {title}", feed="deleted"),
    EventType.TASK_RESTORED: EventWording("Task restored: {title}", feed="brought back"),
    EventType.TASK_LEAD_NOTIFIED: EventWording("Lead told about a new task: {title}"),
    EventType.TASK_LEAD_NOTIFY_FAILED: EventWording(
        "Lead could not be told about a new task: {error}",
    ),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: EventWording(
        "Lead told about a task nobody holds: {title}"
    ),
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: EventWording(
        "Lead could not be told about a task: {error}",
    ),
    EventType.TASK_ASSIGNEE_NOTIFIED: EventWording("Assignee told: {title}"),
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: EventWording(
        "Assignee could not be told: {error}",
    ),
    EventType.TASK_REWORK_NOTIFIED: EventWording("Worker told about requested changes: {title}"),
    EventType.TASK_REWORK_NOTIFY_FAILED: EventWording(
        "Worker could not be told about changes: {error}",
    ),
    EventType.APPROVAL_POLICY_UPDATED: EventWording(
        "Approval policy changed: {name}", feed="changed the approval policy of"
    ),
    EventType.APPROVAL_REQUESTED: EventWording("Question asked: {question}", feed="asks:"),
    EventType.APPROVAL_REQUESTS_HELD: EventWording(
        "{name} requests approvals too often: {recent} in the last hour, {pending} pending",
        feed="requests approvals too often: {recent} in the last hour, {pending} pending",
    ),
    EventType.APPROVAL_DECIDED: EventWording("Question answered ({answer}): {question}"),
    EventType.APPROVAL_FIRST_APPROVED: EventWording(
        "Approved by the first of two people: {question}",
        feed="approved, as the first of two,",
    ),
    EventType.APPROVAL_UNDONE: EventWording("Answer taken back: {question}"),
    EventType.APPROVAL_LAPSED: EventWording(
        "Decision no longer counts, because its person may no longer decide: {question}"
    ),
    EventType.APPROVAL_APPROVED: EventWording("Approved: {question}", feed="approved"),
    EventType.APPROVAL_REJECTED: EventWording("Rejected: {question}", feed="rejected"),
    EventType.APPROVAL_REOPENED: EventWording("Question reopened: {question}", feed="reopened"),
    EventType.APPROVAL_CLARIFICATION_REQUESTED: EventWording(
        "Asked back about: {question}", feed="asked back about"
    ),
    EventType.APPROVAL_LEAD_NOTIFIED: EventWording("Lead told about a decision: {question}"),
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: EventWording(
        "Lead could not be told about a decision: {error}",
    ),
    EventType.AGENT_CREATED: EventWording("Agent created: {name}", feed="added the agent"),
    EventType.AGENT_UPDATED: EventWording("Agent updated: {name}", feed="changed the agent"),
    EventType.AGENT_DELETED: EventWording("Agent deleted: {name}", feed="removed the agent"),
    EventType.AGENT_STATUS_CHANGED: EventWording("Agent is {to}: {name}"),
    EventType.AGENT_HELD: EventWording("Agent held: {name}. {reason}", feed="is held"),
    EventType.AGENT_RELEASED: EventWording("Agent released: {name}", feed="released"),
    EventType.AGENT_PAUSED: EventWording("Agent paused: {name}", feed="paused"),
    EventType.AGENT_RESUMED: EventWording("Agent resumed: {name}", feed="resumed"),
    EventType.AGENT_TOKEN_ISSUED: EventWording(
        "New token for an agent: {name}", feed="made a token for"
    ),
    EventType.AGENT_SOUL_UPDATED: EventWording(
        "Soul of an agent changed: {name}", feed="changed the soul of"
    ),
    EventType.AGENT_PROVISIONED: EventWording("Agent is on its gateway: {name}"),
    EventType.AGENT_PROVISION_FAILED: EventWording(
        "Agent cannot come to its gateway: {name}. {reason}", feed="cannot come to its gateway"
    ),
    EventType.AGENT_SYNCED: EventWording("Agent is up to date on its gateway: {name}"),
    EventType.AGENT_UPDATE_FAILED: EventWording(
        "Agent cannot be brought up to date: {name}. {reason}",
        feed="cannot be brought up to date on its gateway",
    ),
    EventType.AGENT_WOKEN: EventWording("Agent woken: {name}"),
    EventType.AGENT_LOST: EventWording(
        "Its gateway has lost an agent, which is made anew: {name}",
        feed="was lost by its gateway, and is made anew",
    ),
    EventType.AGENT_DELETE_FAILED: EventWording(
        "Agent cannot be removed from its gateway: {name}. {reason}",
        feed="cannot be removed from its gateway",
    ),
    EventType.NUDGE_SENT: EventWording("Nudged: {name}", feed="nudged"),
    EventType.NUDGE_FAILED: EventWording("Nudge could not be sent: {error}"),
    EventType.QUESTION_ASKED: EventWording("Question to people: {question}"),
    EventType.QUESTION_ANSWERED: EventWording("Question answered: {question}"),
    EventType.ASK_USER_SENT: EventWording(
        "The lead has a question for a person", feed="has a question for a person"
    ),
    EventType.ASK_USER_FAILED: EventWording("The lead's question could not be sent: {error}"),
    EventType.LEAD_MESSAGE_SENT: EventWording("Message to the lead: {name}"),
    EventType.LEAD_MESSAGE_FAILED: EventWording("Message to the lead could not be sent: {error}"),
    EventType.LEAD_BROADCAST_SENT: EventWording("Broadcast to the leads"),
    EventType.MESSAGE_QUEUED: EventWording("Message for an agent waits: {kind}"),
    EventType.MESSAGE_SENT: EventWording("Message to an agent sent: {kind}"),
    EventType.MESSAGE_ACKNOWLEDGED: EventWording("Message to an agent taken: {kind}"),
    EventType.MESSAGE_FAILED: EventWording("Message to an agent failed: {error}"),
    EventType.GATEWAY_REQUEST_ASKED: EventWording(
        "{name} asks for {asked} ({hash})", feed="asks for"
    ),
    EventType.GATEWAY_REQUEST_ANSWERED: EventWording("Request of {name} {answer} ({hash})"),
    EventType.GATEWAY_REQUEST_DELIVERED: EventWording("Answer delivered to {name} ({hash})"),
    EventType.GATEWAY_REQUEST_LOST: EventWording(
        "Request of {name} not settled here: {error}", feed="was not answered here:"
    ),
    EventType.GATEWAY_REQUEST_EXPIRED: EventWording(
        "Request of {name} expired ({hash})", feed="had no answer in time:"
    ),
    EventType.GATEWAY_REQUEST_CANCELLED: EventWording(
        "Request of {name} taken back ({hash})", feed="asks no more for"
    ),
    EventType.WEBHOOK_ENDPOINT_CREATED: EventWording("Webhook created: {name}"),
    EventType.WEBHOOK_ENDPOINT_UPDATED: EventWording("Webhook changed: {name}"),
    EventType.WEBHOOK_ENDPOINT_DELETED: EventWording("Webhook deleted: {name}"),
    EventType.WEBHOOK_SECRET_ROTATED: EventWording("Secret of a webhook rotated: {name}"),
    EventType.WEBHOOK_ENDPOINT_DISABLED: EventWording("Webhook disabled: {name}"),
    EventType.SKILL_PACK_CREATED: EventWording("Skill pack added: {name}"),
    EventType.SKILL_PACK_UPDATED: EventWording("Skill pack changed: {name}"),
    EventType.SKILL_PACK_FETCHED: EventWording("Update of a skill pack fetched: {name}"),
    EventType.SKILL_PACK_SYNCED: EventWording("Skills of a pack updated: {name}"),
    EventType.SKILL_PACK_DELETED: EventWording("Skill pack deleted: {name}"),
    EventType.SKILL_CREATED: EventWording("Skill added: {name}"),
    EventType.SKILL_UPDATED: EventWording("Skill changed: {name}"),
    EventType.SKILL_DELETED: EventWording("Skill deleted: {name}"),
    EventType.SKILL_INSTALL_REQUESTED: EventWording(
        "Installation of a skill on {gateway} requested: {name}"
    ),
    EventType.SKILL_REMOVAL_REQUESTED: EventWording(
        "Removal of a skill from {gateway} requested: {name}"
    ),
    EventType.SKILL_INSTALLED: EventWording("Skill installed on {gateway}: {name}"),
    EventType.SKILL_REMOVED: EventWording("Skill removed from {gateway}: {name}"),
    EventType.SKILL_REQUEST_FAILED: EventWording(
        "Request about a skill has failed on {gateway}: {name}"
    ),
    EventType.RUN_STARTED: EventWording("{name} is at work on its gateway"),
    EventType.RUN_CHANGED: EventWording("{name} works: {status}"),
    EventType.RUN_ENDED: EventWording("{name} was at work on its gateway: {status}"),
}

STATUS_CHANGES = {
    Status.INBOX: "put back to the inbox",
    Status.IN_PROGRESS: "started",
    Status.REVIEW: "moved to review",
    Status.DONE: "finished",
}
"""How the activity page describes a task that entered a status."""

DEPENDENCY_CHANGES = {
    "completed_task_id": "A task that this waits for was done",
    "reopened_task_id": "A task that this waits for was taken up again",
    "deleted_task_id": "A task that this waits for was deleted",
    "restored_task_id": "A task that this waits for was brought back",
}
"""The change of another task that caused an event, by the key of that task's id in the data."""


def describe_event(event: Event, comment: str | None = None) -> str:
    """Return the sentence of an event; for a comment that still exists, its text."""
    if event.type is EventType.TASK_COMMENT and comment:
        return comment
    return WORDING[event.type].sentence.format_map(_SentenceData(event.data)).removesuffix(": ")


def describe_action(event: Event) -> str:
    """Return the words for the activity page, between the actor and the subject."""
    cause = describe_cause(event)
    if cause:
        return f"{cause}:"
    match event.type:
        case EventType.TASK_STATUS_CHANGED:
            entered = event.data.get("entered")
            return STATUS_CHANGES[Status(entered)] if entered in set(Status) else "moved"
        case EventType.AGENT_STATUS_CHANGED:
            return f"is {str(event.data.get('to', 'changed')).replace('_', ' ')}"
        case EventType.APPROVAL_REQUESTED if event.user_id:
            return "asked:"
        case EventType.GATEWAY_REQUEST_ANSWERED:
            return f"{event.data.get('answer') or 'answered'}:"
    return WORDING[event.type].feed.format_map(_Data(event.data))


def describe_cause(event: Event) -> str:
    """Return the change of another task that caused an event; "" if an actor caused it."""
    return next((words for key, words in DEPENDENCY_CHANGES.items() if key in event.data), "")


class _Data(dict[str, Any]):
    """The data of an event. Missing values are empty."""

    def __missing__(self, _key: str) -> str:
        return ""


class _SentenceData(_Data):
    """The data of an event as texts for a sentence."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__({key: _format_value(value) for key, value in data.items()})


def _format_value(value: Any) -> str:
    return str(value).replace("_", " ") if value in _STATUSES else str(value)


_STATUSES = ("in_progress",)
