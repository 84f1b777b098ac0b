"""Values of webhooks and their payloads for templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models import Agent, Board, BoardWebhook, MessageState, PayloadState
from services import board_webhooks
from services.board_webhooks import PayloadOverview, StoredPayload
from web.agents.messages import MESSAGE_STATE_LABELS
from web.board_webhooks.reasons import describe_reason
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

MAX_SHOWN_LENGTH = 100_000  # characters of a payload on its page

PAYLOAD_STATE_LABELS = {
    PayloadState.RECEIVED: (N_("Not sent"), "circle-alert", "danger"),
    PayloadState.PROCESSED: (N_("Processed"), "check", "dim"),
    PayloadState.IGNORED: (N_("Ignored"), "circle-dashed", "dim"),
    PayloadState.FAILED: (N_("Failed"), "circle-x", "danger"),
}
"""Label, icon and tone of a payload without a message."""


@dataclass(frozen=True)
class WebhookPayloadRow:
    """A payload with its labels."""

    payload: PayloadOverview
    label: str
    icon: str
    tone: str
    reason: str  # why it was not sent

    @classmethod
    def from_overview(cls, payload: PayloadOverview) -> "WebhookPayloadRow":
        """Build the row of a payload: the state of its message, or its own."""
        is_sent = payload.state is PayloadState.PROCESSED and payload.message_state is not None
        labels: dict[Any, tuple[str, str, str]] = {**PAYLOAD_STATE_LABELS, **MESSAGE_STATE_LABELS}
        state = payload.message_state if is_sent else payload.state
        label, icon, tone = labels[MessageState.QUEUED if payload.is_queued else state]
        return cls(payload, translate(label), icon, tone, _describe_problem(payload))

    @property
    def size(self) -> str:
        """The size with its unit."""
        return format_size(self.payload.size)


def _describe_problem(payload: PayloadOverview) -> str:
    if payload.is_queued:
        return _("Many payloads arrived at once. The agent gets it with others, in their order.")
    if payload.state is PayloadState.RECEIVED:
        return _("There was no agent to send it to. Give the board a lead, then send it again.")
    if payload.state is PayloadState.IGNORED:
        return describe_reason(payload.error or "")
    return payload.error or payload.message_error or ""


def format_size(size: int) -> str:
    """Return a number of bytes with a unit."""
    if size < 1_000:
        return _("%(size)s B", size=format_number(size))
    if size < 1_000_000:
        return _("%(size)s kB", size=format_number(round(size / 1_000)))
    return _("%(size)s MB", size=format_number(round(size / 1_000_000, 1)))


def list_agent_options(
    agents: Sequence[Agent], stored_id: UUID | None = None
) -> list[tuple[str, str]]:
    """Return the agents to which payloads can be sent, the default of a new webhook first.

    It is the lead. A board without a lead has its first agent as the default. The stored agent of
    a webhook is always an option; otherwise a form that is saved unchanged would replace it.
    """
    lead = next((agent.name for agent in agents if agent.is_board_lead), None)
    others = [
        (str(agent.id), agent.name)
        for agent in agents
        if not agent.is_board_lead or agent.id == stored_id
    ]
    if stored_id is not None and all(agent.id != stored_id for agent in agents):
        others.append((str(stored_id), _("An agent that has left the board")))
    if lead is None:
        return [*others, ("", _("The lead, once the board has one"))]
    return [("", _("The lead (%(name)s)", name=lead)), *others]


def list_edited_fields(webhook: BoardWebhook) -> list[EditedField]:
    """Return the current values of a webhook as its form shows them."""
    return [
        EditedField("description", N_("Instruction"), webhook.description, FieldKind.TEXT),
        EditedField("agent_id", N_("Agent"), webhook.agent_id),
        EditedField("enabled", N_("Enabled"), webhook.enabled),
        EditedField("signature_header", N_("Header of the signature"), webhook.signature_header),
    ]


def build_url(base_url: str, webhook: BoardWebhook) -> str:
    """Return the address to which other systems send."""
    path = f"/api/v1/boards/{webhook.board_id}/webhooks/{webhook.id}"
    return f"{base_url.rstrip('/')}{path}"


def page_path(board: Board, webhook: BoardWebhook | None = None) -> str:
    """Return the path of the page of a webhook, or of the list."""
    path = f"/boards/{board.id}/webhooks"
    return f"{path}/{webhook.id}" if webhook else path


def describe_payload(payload: StoredPayload) -> dict[str, Any]:
    """Return the content of a payload for its page."""
    text, is_cut = board_webhooks.format_payload(payload.payload, MAX_SHOWN_LENGTH)
    return {
        "stored": payload,
        "text": text,
        "is_cut": is_cut,
        "size": format_size(payload.size),
        "headers": "\n".join(f"{name}: {value}" for name, value in payload.headers.items()),
    }
