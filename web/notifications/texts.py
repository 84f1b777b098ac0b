"""The texts and addresses of notifications, for pages and for messages outside of them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from models import NEVER_CALLED, ApprovalStatus, Notification, NotificationKind, RequestKind, Status
from services.notifications import SendReason
from web.agents.problem_texts import describe_hold_cause
from web.approvals.sentences import translate_question
from web.boards.cards import STATUS_NAMES
from web.boards.query_parameters import build_comment_path
from web.gateways.connection_texts import describe_gateway_error
from web.notes.note_pages import build_note_path
from web.ui.time_format import format_absolute, format_duration
from web.ui.translation import N_, _, translate
from web.webhook_endpoints.presenter import describe_problem

Kind = NotificationKind

KIND_NAMES: Mapping[NotificationKind, str] = {
    Kind.APPROVAL_PENDING: N_("Approval requested"),
    Kind.APPROVAL_UNDECIDED: N_("Approval waits too long"),
    Kind.QUESTION: N_("Question of an agent"),
    Kind.DECIDED: N_("Decision on your request"),
    Kind.MENTION: N_("Mention"),
    Kind.ASSIGNED: N_("Task assigned to you"),
    Kind.DUE_SOON: N_("Due date of a task"),
    Kind.TASK_CHANGED: N_("Change of a task you watch"),
    Kind.TASK_STALE: N_("Task without activity"),
    Kind.AGENTS_STOPPED: N_("All agents stopped"),
    Kind.AGENT_UNGATED: N_("Tool call without a request"),
    Kind.AGENT_HELD: N_("Agent stopped automatically"),
    Kind.AGENT_STUCK: N_("Agent failed"),
    Kind.AGENT_OFFLINE: N_("Agent offline"),
    Kind.GATEWAY_AWAY: N_("Gateway not connected"),
    Kind.GATEWAY_CONFIG_INVALID: N_("Configuration of a gateway invalid"),
    Kind.INVITATION: N_("Invitation"),
    Kind.WEBHOOK_DISABLED: N_("Webhook disabled"),
    Kind.CHANNEL_FAILING: N_("Channel failing"),
}
"""What a notification is about, in the table of preferences and as a label."""

TITLES: Mapping[NotificationKind, str] = {
    Kind.APPROVAL_PENDING: N_("%(actor)s requests approval: %(subject)s"),
    Kind.APPROVAL_UNDECIDED: N_("Nobody has decided yet: %(subject)s"),
    Kind.QUESTION: N_("%(actor)s has a question for you"),
    Kind.DECIDED: N_("Decided: %(subject)s"),
    Kind.MENTION: N_("%(actor)s mentioned you: %(subject)s"),
    Kind.ASSIGNED: N_("%(actor)s assigned a task to you: %(subject)s"),
    Kind.DUE_SOON: N_("Due soon: %(subject)s"),
    Kind.TASK_CHANGED: N_("%(actor)s changed a task you watch: %(subject)s"),
    Kind.TASK_STALE: N_("No activity for a while: %(subject)s"),
    Kind.AGENTS_STOPPED: N_("%(actor)s stopped all agents"),
    Kind.AGENT_UNGATED: N_("%(subject)s called a tool without asking"),
    Kind.AGENT_HELD: N_("%(subject)s was stopped automatically"),
    Kind.AGENT_STUCK: N_("%(subject)s needs help on its gateway"),
    Kind.AGENT_OFFLINE: N_("%(subject)s is offline"),
    Kind.GATEWAY_AWAY: N_("The gateway %(subject)s is not connected"),
    Kind.GATEWAY_CONFIG_INVALID: N_("The configuration of the gateway %(subject)s is invalid"),
    Kind.INVITATION: N_("%(actor)s has invited you to an organization"),
    Kind.WEBHOOK_DISABLED: N_("The webhook %(subject)s was disabled"),
    Kind.CHANNEL_FAILING: N_("Notifications cannot be delivered: %(subject)s"),
}

REQUEST_TITLES: Mapping[str, str] = {
    RequestKind.EXEC: N_("%(subject)s needs permission for a command"),
    RequestKind.QUESTION: N_("%(subject)s has a question"),
    RequestKind.PLUGIN: N_("%(subject)s needs permission for an action of a plugin"),
}
"""The titles of requests of agents on gateways."""

DECISION_TITLES: Mapping[str, str] = {
    ApprovalStatus.APPROVED: N_("%(actor)s approved: %(subject)s"),
    ApprovalStatus.REJECTED: N_("%(actor)s rejected: %(subject)s"),
}

NAMES_OF_SUBJECTS = ("question", "title", "name", "url")
"""The values that name what a notification is about, the most exact first."""

BODIES = ("excerpt", "text", "note", "reason", "error")
"""The values that say more, in the words of users, agents or gateways."""

RESOLVED_TITLES: Mapping[NotificationKind, str] = {
    Kind.APPROVAL_PENDING: N_("%(actor)s requested approval: %(subject)s"),
    Kind.APPROVAL_UNDECIDED: N_("Decided: %(subject)s"),
}
"""The titles of notifications that nobody has to act on any more."""

KIND_ICONS: Mapping[NotificationKind, str] = {
    Kind.APPROVAL_PENDING: "hand",
    Kind.APPROVAL_UNDECIDED: "alarm-clock",
    Kind.QUESTION: "message-square",
    Kind.DECIDED: "circle-check",
    Kind.MENTION: "at-sign",
    Kind.ASSIGNED: "user-plus",
    Kind.DUE_SOON: "calendar",
    Kind.TASK_CHANGED: "pencil",
    Kind.TASK_STALE: "clock",
    Kind.AGENTS_STOPPED: "pause",
    Kind.AGENT_UNGATED: "circle-alert",
    Kind.AGENT_HELD: "pause",
    Kind.AGENT_STUCK: "circle-alert",
    Kind.AGENT_OFFLINE: "wifi-off",
    Kind.GATEWAY_AWAY: "radio-tower",
    Kind.GATEWAY_CONFIG_INVALID: "radio-tower",
    Kind.INVITATION: "mail",
    Kind.WEBHOOK_DISABLED: "circle-x",
    Kind.CHANNEL_FAILING: "circle-alert",
}

REASON_TEXTS: Mapping[str, str] = {
    SendReason.ADDRESS_INVALID: N_("The address is not valid. Set up the channel again."),
    SendReason.ADDRESS_FORBIDDEN: N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    SendReason.DNS: N_("The host name is unknown. Check the address."),
    SendReason.UNREACHABLE: N_("The server cannot be reached."),
    SendReason.TLS: N_(
        "There is no encrypted connection to the server. Its certificate may have expired."
    ),
    SendReason.TIMEOUT: N_("The server did not answer in time."),
    SendReason.INVALID_RESPONSE: N_("The server gave no valid answer. Check the address."),
    SendReason.REDIRECTED: N_("The address has moved. Enter the new address."),
    SendReason.RATE_LIMITED: N_(
        "The service has received too many messages, and asks Mission Control to wait."
    ),
    SendReason.SERVER_ERROR: N_("The service has a problem."),
    SendReason.UNAUTHORIZED: N_(
        "The service does not accept the token or the address. Create a new one there, then set up"
        " the channel again."
    ),
    SendReason.NOT_FOUND: N_(
        "The service does not know this address any more. Create a new one there, then set up the"
        " channel again."
    ),
    SendReason.TOO_LARGE: N_("The message is too large for the service."),
    SendReason.REJECTED: N_("The service has rejected the message. Its answer is in the log."),
    SendReason.SUBSCRIPTION_ENDED: N_(
        "The browser has ended its subscription. Open the settings in that browser, and switch on"
        " notifications again."
    ),
    SendReason.MAIL_NOT_CONFIGURED: N_(
        "This installation has no mail server. An operator sets SMTP_HOST and SMTP_FROM."
    ),
    SendReason.MAIL_LOGIN: N_(
        "The mail server does not accept the account of this installation. An operator corrects"
        " SMTP_USERNAME and SMTP_PASSWORD."
    ),
    SendReason.RECIPIENT_REJECTED: N_(
        "The mail server does not accept this address. Check it for mistakes."
    ),
    SendReason.CONFIG_UNREADABLE: N_(
        "The address cannot be read, because SECRET_KEY was changed. Delete the channel, and set it"
        " up again."
    ),
}
"""Texts by reason. Each says what is wrong, and what can be done."""

PASSING_REASONS = (SendReason.UNREACHABLE, SendReason.TIMEOUT, SendReason.SERVER_ERROR)
"""Reasons for which nobody has to do anything while the message is tried again."""


def describe_title(notification: Notification, actor_name: str | None = None) -> str:
    """Say in one sentence what has happened, in the reader's language, without markup."""
    data = notification.data
    actor = actor_name or _describe_missing_actor(notification)
    values = {"actor": actor, "subject": _describe_subject(data)}
    text = TITLES[notification.kind]
    if notification.resolved_at:
        text = RESOLVED_TITLES.get(notification.kind, text)
    if notification.kind is Kind.DECIDED:
        text = DECISION_TITLES.get(data.get("status", ""), text)
    elif notification.kind is Kind.DUE_SOON and data.get("is_overdue"):
        text = N_("Overdue: %(subject)s")
    elif notification.kind is Kind.QUESTION and data.get("is_escalated"):
        text = N_("Nobody has answered yet: %(subject)s")
    elif notification.kind is Kind.AGENT_HELD and "recent" in data:
        text = N_("Approval requests of %(subject)s are refused")
    elif data.get("code") == NEVER_CALLED:
        text = N_("%(subject)s has never called")
    elif "request_id" in data:
        text = REQUEST_TITLES.get(data.get("kind", ""), text)
    return _(text, **values)


def describe_body(notification: Notification) -> str:
    """Return what users, agents or gateways say about it, or "" if they say nothing."""
    data = notification.data
    describe = BODIES_BY_KIND.get(notification.kind)
    if describe is not None:
        return describe(data)
    if data.get("status") in set(Status) and not data.get("excerpt"):
        return _("Moved to %(status)s", status=translate(STATUS_NAMES[Status(data["status"])]))
    return next((data[name] for name in BODIES if isinstance(data.get(name), str)), "")


def describe_kind(kind: NotificationKind) -> str:
    """Name a kind in the reader's language."""
    return translate(KIND_NAMES[kind])


def build_path(notification: Notification) -> str:
    """Return the path of the page on which the user can see it, and act."""
    return PATHS[notification.kind](notification)


def _describe_missing_actor(notification: Notification) -> str:
    if notification.actor_user_id or notification.actor_agent_id:
        return _("Deleted user")
    if notification.kind is Kind.AGENTS_STOPPED:
        return _("The command line")
    return "Mission Control"


def _describe_subject(data: Mapping[str, Any]) -> str:
    subject = str(next((data[name] for name in NAMES_OF_SUBJECTS if data.get(name)), ""))
    return translate_question(subject, data) if isinstance(data.get("titles"), list) else subject


def _describe_hold(data: Mapping[str, Any]) -> str:
    """Describe a circuit breaker, or how many approvals an agent has requested."""
    if data.get("recent") is not None:
        return _(
            "It requests approvals too often: %(recent)s in the last hour, %(pending)s pending.",
            recent=data["recent"],
            pending=data.get("pending") or 0,
        )
    return describe_hold_cause(data) if data.get("cause") else str(data.get("reason") or "")


def _describe_ungated(data: Mapping[str, Any]) -> str:
    if data.get("recent") is not None:
        return _("%(count)s calls in the last hour.", count=data["recent"])
    tool = data.get("tool") or ""
    return _("%(tool)s ran without asking. Check whether the hook is on.", tool=tool)


def _describe_agent_problem(data: Mapping[str, Any]) -> str:
    if data.get("code") == NEVER_CALLED:
        return _(
            "Start its program, or issue a new token. Its page shows the call that is missing."
        )
    return str(data.get("reason") or data.get("error") or "")


def _describe_config_problem(data: Mapping[str, Any]) -> str:
    problem = data.get("config_problem")
    if not problem:
        return ""
    values = {**problem["values"], "command": problem["command"]}
    return describe_gateway_error("config_invalid", values, problem["sentence"])


def _describe_due_date(data: Mapping[str, Any]) -> str:
    """Say when a task is or was due, in the time zone of the reader."""
    if not data.get("due_at"):
        return ""
    date = format_absolute(datetime.fromisoformat(data["due_at"]))
    text = N_("It was due %(date)s.") if data.get("is_overdue") else N_("It is due %(date)s.")
    return _(text, date=date)


def _describe_inactivity(data: Mapping[str, Any]) -> str:
    minutes = data.get("minutes")
    if not minutes:
        return ""
    return _("Nothing has happened for %(duration)s.", duration=format_duration(minutes * 60))


def _build_decision_path(notification: Notification) -> str:
    if notification.approval_id:
        return f"/approvals/{notification.approval_id}"
    request_id = notification.data.get("request_id")
    return f"/approvals/requests/{request_id}" if request_id else "/approvals"


def _build_task_path(notification: Notification) -> str:
    """Return the path of the task and its comment, or of the chat in which it was written."""
    data, board_path = notification.data, f"/boards/{notification.board_id}"
    if data.get("question_id"):
        return f"/questions/{data['question_id']}"
    if notification.task_id:
        if data.get("comment_id"):
            return build_comment_path(
                notification.board_id, notification.task_id, data["comment_id"]
            )
        return f"{board_path}/tasks/{notification.task_id}"
    if not (notification.board_id or data.get("group_id")):
        return "/activity"
    place = board_path if notification.board_id else f"/groups/{data['group_id']}"
    if data.get("memory_id"):
        return build_note_path(place, data["memory_id"], is_chat=not data.get("is_note"))
    return f"{place}/{'notes' if data.get('is_note') else 'chat'}"


def _build_agent_path(notification: Notification) -> str:
    return f"/agents/{notification.agent_id}" if notification.agent_id else "/agents"


def _build_gateway_path(notification: Notification) -> str:
    return f"/gateways/{notification.gateway_id}" if notification.gateway_id else "/gateways"


BODIES_BY_KIND: Mapping[NotificationKind, Callable[[Mapping[str, Any]], str]] = {
    Kind.AGENT_UNGATED: _describe_ungated,
    Kind.AGENT_HELD: _describe_hold,
    Kind.AGENT_STUCK: _describe_agent_problem,
    Kind.GATEWAY_CONFIG_INVALID: _describe_config_problem,
    Kind.CHANNEL_FAILING: lambda data: describe_reason(data.get("reason")),
    Kind.INVITATION: lambda data: _("Open the link of the invitation to accept it."),
    Kind.DUE_SOON: _describe_due_date,
    Kind.TASK_STALE: _describe_inactivity,
    Kind.WEBHOOK_DISABLED: lambda data: describe_problem(data.get("reason")),
}
"""What is said about notifications of some kinds, by their data."""

PATHS: Mapping[NotificationKind, Callable[[Notification], str]] = {
    Kind.APPROVAL_PENDING: _build_decision_path,
    Kind.APPROVAL_UNDECIDED: _build_decision_path,
    Kind.DECIDED: _build_decision_path,
    Kind.QUESTION: _build_task_path,
    Kind.MENTION: _build_task_path,
    Kind.ASSIGNED: _build_task_path,
    Kind.DUE_SOON: _build_task_path,
    Kind.TASK_CHANGED: _build_task_path,
    Kind.TASK_STALE: _build_task_path,
    Kind.AGENTS_STOPPED: lambda _: "/agents",
    Kind.AGENT_UNGATED: _build_agent_path,
    Kind.AGENT_HELD: _build_agent_path,
    Kind.AGENT_STUCK: _build_agent_path,
    Kind.AGENT_OFFLINE: _build_agent_path,
    Kind.GATEWAY_AWAY: _build_gateway_path,
    Kind.GATEWAY_CONFIG_INVALID: _build_gateway_path,
    Kind.INVITATION: lambda _: "/notifications",
    Kind.WEBHOOK_DISABLED: lambda one: f"/webhooks/{one.data.get('endpoint_id', '')}",
    Kind.CHANNEL_FAILING: lambda one: f"/settings/channels/{one.data.get('channel_id', '')}",
}


def describe_reason(reason: str | None, *, is_repeated: bool = False) -> str:
    """Describe why an attempt has not succeeded, and whether the message is tried again.

    Unknown reasons are shown as they are.
    """
    text = translate(REASON_TEXTS.get(reason or "", "")) or (reason or "")
    if is_repeated and reason in PASSING_REASONS:
        return f"{text} {_('It is retried for a day.')}"
    return text
