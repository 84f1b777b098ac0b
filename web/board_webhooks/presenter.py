"""Values of webhooks and their payloads for templates."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import Agent, Board, BoardWebhook, MessageState, PayloadState, WebhookAction
from services import board_webhooks
from services.board_webhooks import PayloadOverview, StoredPayload
from services.payload_templates import TemplateProblem
from web.agents.messages import MESSAGE_STATE_LABELS
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

TEST_PAYLOAD = '{"event": "test"}'
SIGNATURE_HEADER = "X-Webhook-Signature"  # unless the webhook names another one
SECRET_PLACEHOLDER = "YOUR_SECRET"  # noqa: S105 - in place of a secret that cannot be shown

REASONS: Mapping[str, str] = {
    "condition_failed": N_("The condition of the template is not met."),
    "forge_unknown": N_("It was not sent by GitHub or GitLab."),
    "ping": N_("The connection works. GitHub sends this once, when the webhook is set up."),
    "event_unsupported": N_("Events of this kind are not used."),
    "action_unsupported": N_("Nothing is done for this action or result."),
    "malformed": N_("A required field is missing or not valid."),
    "foreign_url": N_("An address in it is not on the host of the repository."),
    "no_task": N_("It belongs to no task of this board."),
    "unchanged": N_("It reports nothing new."),
}
"""Texts of the reasons of ignored payloads."""

REJECTIONS: Mapping[str, str] = {
    "webhook_signature_missing": N_(
        "it was not signed. Enter the secret of this webhook in the system that sends."
    ),
    "webhook_signature_invalid": N_(
        "its signature does not match. Enter the secret again in the system that sends, or create a"
        " new one here."
    ),
    "webhook_timestamp_invalid": N_(
        "the time of its signature differs by more than five minutes. Check the clock of the system"
        " that sends."
    ),
    "webhook_disabled": N_("the webhook is off. Switch it on with “Edit”."),
    "body_too_large": N_("its payload is too large. Let the system send less."),
    "webhook_queue_full": N_(
        "10,000 payloads wait for their agent. Let the agent work, and let the system send it"
        " again."
    ),
    "rate_limited": N_(
        "there were too many in a minute. Let the system send fewer, or try again later."
    ),
    "unavailable": N_(
        "the secret cannot be read, because SECRET_KEY was changed. Create a new one."
    ),
}
"""Texts of why a request was rejected, and what to do; they end a sentence."""

PROBLEMS: Mapping[str, str] = {
    "priority_unknown": N_("“%(text)s” is not a priority. The task gets medium priority."),
    "due_invalid": N_("“%(text)s” is not a due date. The task gets none."),
    "tag_unknown": N_("There is no tag “%(text)s”. The task does not get it."),
    "custom_field_unknown": N_("This board has no custom field “%(text)s”."),
    "custom_field_invalid": N_("“%(text)s” is not valid. The task does not get this value."),
    "custom_field_required": N_(
        "The custom field “%(text)s” is required and has no value, so the payload would fail."
    ),
}
"""Texts of what a template could not use."""

PAYLOAD_STATE_LABELS = {
    PayloadState.RECEIVED: (N_("Not sent"), "circle-alert", "danger"),
    PayloadState.PROCESSED: (N_("Processed"), "check", "dim"),
    PayloadState.IGNORED: (N_("Ignored"), "circle-dashed", "dim"),
    PayloadState.FAILED: (N_("Failed"), "circle-x", "danger"),
}
"""Label, icon and tone of a payload without a message."""


def describe_reason(code: str) -> str:
    """Return the text of a reason; of an unknown one, its code."""
    return translate(REASONS[code]) if code in REASONS else code


def describe_rejection(webhook: BoardWebhook, newest: datetime | None) -> str:
    """Return why the last request was rejected; "" if another one was received since."""
    at, code = webhook.last_rejected_at, webhook.last_rejection or ""
    if at is None or (newest is not None and newest > at):
        return ""
    return translate(REJECTIONS[code]) if code in REJECTIONS else code


def describe_problem(problem: TemplateProblem) -> str:
    """Return the text of a problem of a template."""
    return translate(PROBLEMS[problem.code]) % {"text": problem.text}


def describe_missing(path: str) -> str:
    """Return the text for a path without a value."""
    return _("The payload has no value at %(path)s.", path=path)


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


def name_default_agent(lead: Agent | None) -> str:
    """Return the name of the choice of the lead."""
    if lead is None:
        return _("The lead, once the board has one")
    return _("The lead (%(name)s)", name=lead.name)


def build_url(base_url: str, webhook: BoardWebhook) -> str:
    """Return the address to which other systems send."""
    path = f"/api/v1/boards/{webhook.board_id}/webhooks/{webhook.id}"
    return f"{base_url.rstrip('/')}{path}"


def build_test_command(webhook: BoardWebhook, url: str, secret: str | None) -> str:
    """Return the shell command that sends a payload; it signs unless that is not necessary.

    A secret is shown only once; without it, the command has SECRET_PLACEHOLDER.
    """
    send = f"curl -sS {shlex.quote(url)} \\\n  -H 'Content-Type: application/json'"
    if webhook.action is WebhookAction.FORGE:
        send += " -H 'X-GitHub-Event: ping'"  # other payloads must be those of a code host
    if webhook.allows_unsigned:
        return f"{send} \\\n  -d {shlex.quote(TEST_PAYLOAD)}"
    header = shlex.quote(f"{webhook.signature_header or SIGNATURE_HEADER}: ")
    key = shlex.quote(secret) if secret else f"'{SECRET_PLACEHOLDER}'"
    lines = [
        f"SECRET={key}",
        f"BODY={shlex.quote(TEST_PAYLOAD)}",
        """SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -hex \\""",
        "  | sed 's/.* //')",
        f'{send} \\\n  -H {header}"$SIGNATURE" -d "$BODY"',
    ]
    return "\n".join(lines)


def page_path(board: Board, webhook: BoardWebhook | None = None) -> str:
    """Return the path of the page of a webhook, or of the list."""
    path = f"/boards/{board.id}/webhooks"
    return f"{path}/{webhook.id}" if webhook else path


def describe_payload(payload: StoredPayload) -> dict[str, Any]:
    """Return the content of a payload for its page."""
    text, is_cut = board_webhooks.format_payload(payload.payload, 100_000)
    return {
        "stored": payload,
        "text": text,
        "is_cut": is_cut,
        "size": format_size(payload.size),
        "headers": "\n".join(f"{name}: {value}" for name, value in payload.headers.items()),
    }
