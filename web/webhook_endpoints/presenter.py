"""Prepare webhooks and their deliveries for templates."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.http.outbound import OutboundOutcome as Outcome
from models import EndpointState, WebhookDelivery, WebhookDeliveryState, WebhookEndpoint
from services.webhook_endpoints import EVENT_GROUPS
from web.ui.translation import N_, _, translate

GROUP_NAMES: Mapping[str, str] = {
    "task": N_("Tasks"),
    "approval": N_("Approvals"),
    "agent": N_("Agents"),
    "gateway_request": N_("Gateway requests"),
    "run": N_("Runs"),
    "board": N_("Boards"),
    "organization": N_("Organization"),
    "member": N_("People"),
}

STATES: Mapping[str, tuple[str, str]] = {
    EndpointState.ENABLED: (N_("Enabled"), "good"),
    EndpointState.PAUSED: (N_("Paused"), "line"),
    EndpointState.GONE: (N_("Disabled"), "danger"),
    EndpointState.FAILING: (N_("Disabled"), "danger"),
    EndpointState.OWNER_WITHOUT_ACCESS: (N_("Disabled"), "danger"),
}
DELIVERY_STATES: Mapping[str, tuple[str, str]] = {
    WebhookDeliveryState.PENDING: (N_("Pending"), "signal"),
    WebhookDeliveryState.DELIVERED: (N_("Delivered"), "good"),
    WebhookDeliveryState.FAILED: (N_("Failed"), "danger"),
}
"""The names and tones of states."""

OUTCOME_TEXTS: Mapping[str, str] = {
    Outcome.DELIVERED: N_("The receiver has accepted it."),
    Outcome.REJECTED: N_("The receiver answered with status %(status)s. Its response says why."),
    Outcome.REDIRECTED: N_(
        "The receiver answered with a redirect (status %(status)s), which is not followed. Enter"
        " the new address."
    ),
    Outcome.ADDRESS_INVALID: N_("The address is not valid. Correct it."),
    Outcome.ADDRESS_FORBIDDEN: N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    Outcome.DNS: N_("The host name is unknown. Check the address."),
    Outcome.UNREACHABLE: N_("Nothing accepts connections at the address. Start the receiver."),
    Outcome.TLS: N_("There is no encrypted connection to the receiver: %(detail)s"),
    Outcome.TIMEOUT: N_(
        "The receiver did not answer in time. It should answer first, and then do the work."
    ),
    Outcome.INVALID_RESPONSE: N_("The receiver gave no valid answer. Check the address."),
    Outcome.NOT_SENT: N_("The secret was encrypted with another SECRET_KEY. Rotate the secret."),
}
"""Texts by the outcome of an attempt. Each says what is wrong, and what can be done."""


def describe_state(endpoint: WebhookEndpoint) -> tuple[str, str]:
    """Return the name and the tone of the state of a webhook."""
    name, tone = STATES[endpoint.state]
    return translate(name), tone


def describe_problem(state: EndpointState | str | None) -> str:
    """Say why a webhook in this state is disabled and what to do, or return ""."""
    if state == EndpointState.GONE:
        return _(
            "The receiver answered that it wants no more requests (status 410). Correct the"
            " address, or delete this webhook."
        )
    if state == EndpointState.FAILING:
        return _(
            "The receiver has accepted nothing for five days. Repair it, enable this webhook, and"
            " send the period again."
        )
    if state == EndpointState.OWNER_WITHOUT_ACCESS:
        return _(
            "Its owner can no longer read all its boards, or is no longer an admin of this"
            " organization. An admin who can read its boards becomes the owner by enabling"
            " it."
        )
    return ""


def describe_outcome(delivery: WebhookDelivery) -> str:
    """Describe the last attempt of a delivery, or return "" before the first."""
    text = OUTCOME_TEXTS.get(delivery.outcome or "")
    values = {"status": delivery.status or "", "detail": delivery.detail or ""}
    return _(text, **values) if text else ""


def describe_delivery_state(delivery: WebhookDelivery) -> tuple[str, str]:
    """Return the name and the tone of the state of a delivery."""
    name, tone = DELIVERY_STATES[delivery.state]
    return translate(name), tone


def list_state_tabs(chosen: str) -> list[tuple[str, str, bool]]:
    """Return the values, names and choice of the filter of the log."""
    names = {"": N_("All"), **{state: name for state, (name, _tone) in DELIVERY_STATES.items()}}
    return [(value, translate(name), value == chosen) for value, name in names.items()]


def list_type_groups() -> Sequence[tuple[str, list[str]]]:
    """Return the groups of event types, and the names of the types."""
    return [
        (translate(GROUP_NAMES[group]), [type.value for type in types])
        for group, types in EVENT_GROUPS.items()
    ]


def build_delivery_context(delivery: WebhookDelivery, *, may_read: bool) -> dict[str, Any]:
    """Return what the page of a delivery shows."""
    return {
        "delivery": delivery,
        "delivery_state": describe_delivery_state(delivery),
        "outcome": describe_outcome(delivery),
        "payload": format_json(delivery.payload) if may_read else None,
    }


def format_json(text: str) -> str:
    """Indent a JSON text; one that is none is returned as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
