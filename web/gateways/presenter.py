"""Texts about gateways: status, connection checks, and agents that can be linked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clock import now
from models import Agent, Gateway
from services.gateways import (
    GatewayStatus,
    GatewaySummary,
    ListedAgent,
    SessionOwner,
    SessionOwners,
    failing_check,
    is_leased,
)
from web.agents.presenter import format_ago, format_duration

CHECK_TITLES = {
    "address": "The address leads somewhere",
    "port": "The port answers",
    "tls": "The certificate is trusted",
    "handshake": "A gateway speaks",
    "protocol": "It speaks our protocol",
    "token": "It takes the token",
    "device": "It knows this Mission Control",
    "scopes": "It grants the rights that agents need",
}
"""Title of each passed connection check, in their order."""

FAILED_CHECK_TITLES = {
    "address": "Its address leads nowhere",
    "port": "Nobody answers",
    "tls": "No certificate that is trusted",
    "handshake": "It does not let us speak",
    "protocol": "It speaks another protocol",
    "token": "It refuses the token",
    "device": "Waits to be approved",
    "scopes": "It grants too few rights",
}
"""Title of each failed connection check."""

FAILURE_TITLES = {
    "address_forbidden": "Its address is not allowed here",
    "no_tls": "It does not speak TLS",
    "not_a_gateway": "It is no gateway",
    "gateway_secrets_unreadable": "Its token cannot be opened here",
}
"""Title by error code, where it is more precise than the title of the failed check."""

STATUS_LABELS = {
    GatewayStatus.UNCHECKED: ("provisioning", "Not looked at yet"),
    GatewayStatus.CONNECTED: ("idle", "Connected"),
    GatewayStatus.REACHABLE: ("idle", "Answers"),
    GatewayStatus.UNMONITORED: ("late", "Not watched"),
    GatewayStatus.FAILED: ("failed", "Not connected"),
}
"""State icon and label of each gateway status."""

CHECK_STEPS = {"ok": "done", "failed": "fail"}  # step state of each check state
CONFIGURED_CHECKS = {"address", "port", "tls", "token"}
# With these codes, the answering host may be a different one.
WRONG_HOST_CODES = {"not_a_gateway", "malformed", "timeout", "closed"}
DETAILED_CHECKS = {"address", "port", "tls", "protocol"}  # their sentence is also shown when passed


@dataclass(frozen=True)
class CheckRow:
    """A connection check as it is shown."""

    name: str
    title: str
    step: str  # done, fail or todo
    sentence: str
    command: str | None
    since: datetime | None
    code: str | None = None

    @property
    def is_fixable_here(self) -> bool:
        """Return whether the entered address or token may be wrong."""
        return self.name in CONFIGURED_CHECKS or self.code in WRONG_HOST_CODES


def build_checks(gateway: Gateway) -> Sequence[CheckRow]:
    """Return all connection checks of a gateway."""
    results = {check["name"]: check for check in gateway.checks or ()}
    return [
        _build_check(name, title, results.get(name, {})) for name, title in CHECK_TITLES.items()
    ]


def describe_status(summary: GatewaySummary) -> tuple[str, str]:
    """Return state icon and label of a gateway."""
    icon, label = STATUS_LABELS[summary.status]
    failing = failing_check(summary.gateway)
    return icon, _failure_title(failing) if failing else label


def describe_status_evidence(summary: GatewaySummary) -> str:
    """Describe how the status of a gateway is known."""
    if summary.status is GatewayStatus.UNCHECKED:
        return "a worker looks within seconds"
    passed = format_duration(now() - summary.since) if summary.since else "a while"
    if summary.status is GatewayStatus.CONNECTED:
        return f"for {passed}"
    result = (
        format_ago(now() - summary.gateway.checked_at)
        if summary.gateway.checked_at
        else "a while ago"
    )
    if summary.status is GatewayStatus.REACHABLE:
        return f"looked {result}"
    if summary.status is GatewayStatus.UNMONITORED:
        return f"it was well {result}; no worker is connected to it now"
    return f"for {passed}, tried {result}"


def describe_outage(gateway: Gateway, moment: datetime) -> str:
    """Describe why a gateway is not usable now, or return "" if it should be."""
    failing = failing_check(gateway)
    if failing is not None:
        words = _failure_title(failing)
        return f"{gateway.name} is not connected: {words[:1].lower()}{words[1:]}."
    return "" if is_leased(gateway, moment) else f"No worker is connected to {gateway.name}."


def _failure_title(check: Mapping[str, Any]) -> str:
    return FAILURE_TITLES.get(check.get("code") or "") or FAILED_CHECK_TITLES.get(check["name"], "")


def _build_check(name: str, title: str, result: Mapping[str, Any]) -> CheckRow:
    step = CHECK_STEPS.get(result.get("state", ""), "todo")
    since = result.get("since") if step != "todo" else None
    return CheckRow(
        name,
        _failure_title(result) if step == "fail" else title,
        step,
        sentence=result["sentence"]
        if step == "fail" or (since and name in DETAILED_CHECKS)
        else "",
        command=result.get("command"),
        since=datetime.fromisoformat(since) if since else None,
        code=result.get("code"),
    )


@dataclass(frozen=True)
class GatewayAgentRow:
    """An agent of a gateway, and the agent of this server that it belongs to."""

    gateway_agent: ListedAgent
    owner: SessionOwner | None

    @property
    def can_link(self) -> bool:
        """Return whether the agent can be linked."""
        return self.owner is None and not self.gateway_agent.is_managed


@dataclass(frozen=True)
class LinkedAgent:
    """An agent that was just linked, with its token and its instructions."""

    agent: Agent
    workspace: str | None
    token: str
    handover_text: str


def build_agent_rows(
    gateway_agents: Sequence[ListedAgent], owners: SessionOwners
) -> list[GatewayAgentRow]:
    """Return the agents of a gateway, those that can be linked first."""
    rows = [
        GatewayAgentRow(gateway_agent, owners.get(gateway_agent.id))
        for gateway_agent in gateway_agents
    ]
    return sorted(rows, key=lambda row: not row.can_link)
