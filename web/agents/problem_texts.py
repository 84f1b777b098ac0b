"""Texts of why an agent is held, why its provisioning failed, and what a message waits for.

The services store an English sentence with each code, for the API and for codes that have no text
here.
"""

from collections.abc import Mapping
from typing import Any

from models import Agent, Message, ProvisioningStep
from services import gateway_status, messages
from services.pending_reasons import DeliveryConditions, PendingReason, PendingStatus
from web.gateways.connection_texts import describe_check, describe_gateway_error
from web.ui.translation import N_, _, translate

HOLD_TEXTS: Mapping[tuple[str, str], str] = {
    ("messages", "10 minutes"): N_(
        "It received more than %(count)d messages in 10 minutes that no person sent."
    ),
    ("messages", "a day"): N_(
        "It received more than %(count)d messages in a day that no person sent."
    ),
    ("loop", "10 minutes"): N_(
        "It and %(sender)s answer each other: %(count)d messages each in 10 minutes."
    ),
    ("loop", "a day"): N_("It and %(sender)s answer each other: %(count)d messages each in a day."),
    ("failures", "same_task"): N_("Its last %(count)d runs on the same task failed. %(error)s"),
    ("failures", "any_task"): N_("Its last %(count)d runs failed. %(error)s"),
}
"""Texts by the circuit breaker and its limit."""

FAILURE_TEXTS = {
    "not_listed": N_("The gateway no longer has the agent."),
    "coming": N_("The gateway may still be creating the agent."),
    "place_taken": N_(
        "Another agent with the same key is on the gateway, and must be removed first."
    ),
    "no_check_in": N_(
        "It was woken %(count)d times and has not called. Read its session on the gateway."
    ),
    "not_configured": N_("The configuration of the gateway does not contain the agent yet."),
    "lost_again": N_(
        "The gateway has lost the agent for the second time: somebody removes it there. Make sure"
        " that it stays, then try again."
    ),
    "unexpected": N_("Something went wrong in Mission Control. See the log of the server."),
}
"""Texts by the codes of failures that are not errors of a gateway."""

PENDING_TEXTS = {
    PendingReason.AGENT: N_("It waits until the agent fetches it."),
    PendingReason.ORGANIZATION_STOPPED: N_(
        "All agents are stopped. It is sent when they are resumed."
    ),
    PendingReason.BOARD_PAUSED: N_("Its board is paused. It is sent when the board is resumed."),
    PendingReason.WORKER: N_("It is about to be sent."),
    PendingReason.TURN: N_("The gateway has accepted it, and the agent is working on it."),
}
"""Texts without values of what a message waits for."""


def describe_hold(agent: Agent) -> str:
    """Describe which circuit breaker holds an agent and why, or who has paused it."""
    return describe_hold_cause(agent.hold or {})


def describe_hold_cause(hold: Mapping[str, Any]) -> str:
    """Describe the cause that is stored with an agent."""
    values = hold.get("values") or {}
    if hold and messages.is_pause(hold):
        return _("Paused by %(name)s.", name=values.get("name") or _("Deleted user"))
    text = HOLD_TEXTS.get((hold.get("cause", ""), values.get("limit", "")))
    return _(text, **values).strip() if text else str(hold.get("reason") or "")


def describe_failure(agent: Agent) -> str:
    """Describe why the provisioning of an agent failed, or return ""."""
    return describe_problem(agent, agent.provision_failure or {})


def describe_problem(agent: Agent, problem: Mapping[str, Any]) -> str:
    """Describe a failure of provisioning, or of the last attempt of a step; "" if there is none."""
    code, stored = str(problem.get("code") or ""), str(problem.get("reason") or "")
    if code == "not_listed" and problem.get("step") == ProvisioningStep.LISTED:
        return _(
            "The gateway has accepted the agent but does not list it. This happens after it was"
            " killed while it created an agent: restart it, and setup continues automatically."
        )
    text = FAILURE_TEXTS.get(code)
    if text:
        return _(text, count=agent.wake_attempts)
    return describe_gateway_error(code, problem.get("values") or {}, stored)


def describe_pending(
    status: PendingStatus, message: Message, conditions: DeliveryConditions
) -> str:
    """Describe what a message waits for."""
    if status.reason is PendingReason.GATEWAY_AWAY:
        gateway = conditions.gateway
        assert gateway is not None
        failing = gateway_status.find_connection_failure(gateway.checks)
        if failing is None:
            return _("No worker is connected to %(name)s. A worker must run.", name=gateway.name)
        problem = describe_check(failing, gateway)
        return _("%(name)s is not available. %(problem)s", name=gateway.name, problem=problem)
    if status.reason is PendingReason.AGENT_HELD:
        reason = describe_hold(conditions.agent)
        if messages.is_pause(conditions.agent.hold):
            return _("It is sent when the agent is resumed. %(reason)s", reason=reason)
        return _(
            "The agent was stopped automatically. It works again when a person lets it. %(reason)s",
            reason=reason,
        )
    if status.reason is PendingReason.AGENT_STARTING:
        text = _("The gateway does not have the agent yet.")
        return f"{text} {describe_failure(conditions.agent)}".strip()
    if status.reason is PendingReason.GATEWAY_BUSY:
        text = _("The gateway has not accepted it, and is asked again.")
        return f"{text} {message.last_error or ''}".strip()
    return translate(PENDING_TEXTS[status.reason])
