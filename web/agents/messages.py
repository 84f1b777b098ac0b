"""The messages to an agent as its page shows them: titles, delivery state, and problems."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.datastructures import QueryParams

from core.clock import now
from core.db.reads import Source
from core.paging import Paging
from models import Agent, Member, Message, MessageState
from services import messages, pending_reasons
from services.pending_reasons import DeliveryConditions
from web.agents.presenter import describe_missing_action
from web.agents.problem_texts import describe_pending
from web.ui.list_addresses import find_page_around
from web.ui.translation import N_, translate

MESSAGES_PER_PAGE = 25

TASK_LABEL = "Task: "
LABEL_LINE = re.compile(r"(Board|From|Group|To answer|Body|\w+ Board|[A-Z][\w ]* ID): |---")
"""Lines of a message with labels and separators, not content."""

MESSAGE_STATE_LABELS = {
    MessageState.QUEUED: (N_("Waiting"), "clock", "dim"),
    MessageState.SENT: (N_("Sent"), "send", "dim"),
    MessageState.ACKNOWLEDGED: (N_("Acknowledged"), "check", "dim"),
    MessageState.FAILED: (N_("Failed"), "circle-x", "danger"),
}
"""Label, icon and tone of each message state."""

MESSAGE_TITLES = {
    "WAKE UP": N_("Wake up"),
    "NEW TASK ADDED": N_("New task added"),
    "TASK BACK IN INBOX": N_("Task back in inbox"),
    "TASK ASSIGNED": N_("Task assigned"),
    "TASK STALE": N_("Task without activity"),
    "TASK READY FOR LEAD REVIEW": N_("Task ready for lead review"),
    "CHANGES REQUESTED": N_("Changes requested"),
    "QUESTION ANSWERED": N_("Answer to a question"),
    "TASK MENTION": N_("Task mention"),
    "NEW TASK COMMENT": N_("New task comment"),
    "APPROVAL RESOLVED": N_("Approval decided"),
    "BOARD UPDATED": N_("Board updated"),
    "BOARD GROUP UPDATED": N_("Board group updated"),
    "BOARD CHAT": N_("Board chat"),
    "BOARD CHAT MENTION": N_("Board chat mention"),
    "GROUP CHAT": N_("Group chat"),
    "GROUP CHAT MENTION": N_("Group chat mention"),
    "GROUP BROADCAST": N_("Group broadcast"),
    "LEAD REQUEST: ASK USER": N_("Lead request: ask user"),
    "GATEWAY MAIN QUESTION": N_("Question of the gateway agent"),
    "GATEWAY MAIN HANDOFF": N_("Handoff to the gateway agent"),
    "BOARD ONBOARDING REQUEST": N_("Board setup request"),
    "BOARD ONBOARDING ANSWER": N_("Board setup answer"),
    "NUDGE": N_("Nudge"),
    "HEARTBEAT": N_("Heartbeat"),
    "MISSION CONTROL SKILL INSTALL REQUEST": N_("Request to install a skill"),
    "MISSION CONTROL SKILL UNINSTALL REQUEST": N_("Request to remove a skill"),
    "WEBHOOK EVENT RECEIVED": N_("Webhook event received"),
}
"""Titles by kind; the kind is the first line of a message."""


@dataclass(frozen=True)
class MessageRow:
    """A message with its labels."""

    message: Message
    title: str
    excerpt: str
    label: str
    icon: str
    tone: str
    reason: str  # why it is waiting, why it failed, or that nothing followed
    can_be_sent_again: bool

    @classmethod
    def from_message(
        cls, message: Message, context: DeliveryConditions, *, is_without_action: bool
    ) -> "MessageRow":
        """Build the row of a message."""
        wait = context.pending_status(message, now())
        reason = describe_pending(wait, message, context) if wait else message.last_error or ""
        label, icon, tone = MESSAGE_STATE_LABELS[message.state]
        return cls(
            message,
            describe_message_kind(message.kind),
            _build_excerpt(message),
            translate(label),
            icon,
            tone,
            reason=describe_missing_action(message) if is_without_action else reason,
            can_be_sent_again=is_without_action or message.state is MessageState.FAILED,
        )

    @property
    def has_failed(self) -> bool:
        """Return whether the message could not be delivered."""
        return self.message.state is MessageState.FAILED


async def load_messages(
    source: Source, member: Member, agent: Agent, query: QueryParams
) -> dict[str, Any]:
    """Load a page of the messages to an agent, newest first, as a template context.

    It is the page around the message that the address names, or the one at its offset.
    """
    place = await find_page_around(
        query,
        "message",
        MESSAGES_PER_PAGE,
        partial(messages.count_newer_messages, source, agent),
    )
    context = await pending_reasons.load_delivery_conditions(source, agent)
    found = await messages.list_agent_messages(
        source, agent, Paging(limit=MESSAGES_PER_PAGE, offset=place.offset)
    )
    idle_ids = await messages.list_without_action(source, agent, found.items)
    rows = found.map(
        lambda message: MessageRow.from_message(
            message, context, is_without_action=message.id in idle_ids
        )
    )
    return {
        "message_rows": rows,
        "page_query": place.query,
        "can_retry": member.is_admin,
    }


def describe_message_kind(kind: str) -> str:
    """Return the title of a message; a command is its own title."""
    return translate(MESSAGE_TITLES[kind]) if kind in MESSAGE_TITLES else kind


def _build_excerpt(message: Message) -> str:
    """Return the subject of a message in one line: its task, or the text after the labels."""
    lines = [line.strip() for line in message.content.removeprefix(message.kind).splitlines()]
    tasks = [line.removeprefix(TASK_LABEL) for line in lines if line.startswith(TASK_LABEL)]
    body = [line for line in lines if line and not LABEL_LINE.match(line)]
    return " ".join(tasks[:1] or body)[:200]
