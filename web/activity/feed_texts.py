"""The sentences of the activity feed: events with their actor and their subject."""

from collections.abc import Mapping

from models import Event, EventType, Status
from web.ui.translation import N_, _

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

TASK_MOVES: Mapping[str, str] = {
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


def find_feed_text(event: Event) -> str:
    """Return the sentence of an event in the feed; it is not translated yet."""
    data, text = event.data, FEED_TEXTS.get(event.type, "")
    if event.type is EventType.TASK_STATUS_CHANGED:
        text = TASK_MOVES.get(data.get("entered", ""), text)
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
