"""Texts about gateways: status, checks, and missing features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clock import now
from models import Gateway
from services import gateways
from services.gateway_status import (
    GatewayStatus,
    failing_check,
    find_connection_failure,
    is_leased,
)
from services.gateways import Capability, GatewaySummary
from web.agents.presenter import format_ago, format_duration
from web.gateways.connection_texts import describe_check
from web.ui.translation import N_, _, translate

CHECK_TITLES = {
    "address": N_("Address found"),
    "port": N_("Port answers"),
    "tls": N_("Certificate trusted"),
    "handshake": N_("Gateway answers"),
    "protocol": N_("Protocol supported"),
    "token": N_("Token accepted"),
    "device": N_("Mission Control approved"),
    "scopes": N_("Required rights granted"),
    "agents": N_("Supports agents"),
}
"""Title of each passed connection check, in their order."""

FAILED_CHECK_TITLES = {
    "address": N_("Address not found"),
    "port": N_("No answer"),
    "tls": N_("Certificate not trusted"),
    "handshake": N_("Handshake refused"),
    "protocol": N_("Protocol not supported"),
    "token": N_("Token refused"),
    "device": N_("Not approved on the gateway"),
    "scopes": N_("Too few rights granted"),
    "agents": N_("Agents not supported"),
}
"""Title of each failed connection check."""

FAILURE_TITLES = {
    "address_forbidden": N_("Address not allowed"),
    "certificate_name": N_("Certificate for another name"),
    "certificate_expired": N_("Certificate expired"),
    "no_tls": N_("No TLS"),
    "tls_required": N_("TLS required"),
    "path_not_found": N_("Path not found"),
    "down_behind_proxy": N_("Proxy answers, gateway does not"),
    "down_behind_forwarder": N_("Port answers, gateway does not"),
    "unresponsive": N_("Not answering"),
    "not_a_gateway": N_("Not an OpenClaw gateway"),
    "restart_required": N_("Restart required"),
    "config_invalid": N_("Configuration invalid"),
    "gateway_secrets_unreadable": N_("Token cannot be decrypted"),
}
"""Title by error code, where it is more precise than the title of the failed check."""

STATUS_LABELS = {
    GatewayStatus.UNCHECKED: ("provisioning", N_("Not checked yet")),
    GatewayStatus.CONNECTED: ("idle", N_("Connected")),
    GatewayStatus.REACHABLE: ("idle", N_("Reachable")),
    GatewayStatus.UNMONITORED: ("late", N_("Not monitored")),
    GatewayStatus.LIMITED: ("failed", N_("Agents not supported")),
    GatewayStatus.FAILED: ("failed", N_("Not connected")),
}
"""State icon and label of each gateway status."""

CHECK_STEPS = {"ok": "done", "failed": "fail"}  # step state of each check state
CONFIGURED_CHECKS = {"address", "port", "tls", "token"}
# With these codes, the answering host may be a different one.
WRONG_HOST_CODES = {"not_a_gateway", "path_not_found", "malformed", "timeout", "closed"}
# The sentence of these is also shown when they passed.
DETAILED_CHECKS = {"address", "port", "tls", "protocol", "agents"}

FEATURE_TEXTS: Mapping[Capability, tuple[str, str]] = {
    Capability.FILE_HASHES: (
        N_("Protected writing of files"),
        N_(
            "Files are read before and after each write instead. A change at the same moment can be"
            " lost; if it is noticed, it is reported."
        ),
    ),
    Capability.ACTIVE_SESSIONS: (
        N_("List of active sessions"),
        N_("Mission Control reads all sessions instead, which takes longer."),
    ),
    Capability.HEARTBEAT_SCRATCH: (
        N_("Texts of heartbeats"),
        N_("The file HEARTBEAT.md of each agent keeps its heartbeats from calling a model."),
    ),
    Capability.QUESTIONS: (
        N_("Questions of agents"),
        N_("Agents on this gateway cannot ask questions that appear here."),
    ),
    Capability.RESOLUTION_IDS: (
        N_("Identification of answers"),
        N_("After a lost connection, the answer on the gateway is compared with yours instead."),
    ),
    Capability.APPROVAL_RESULTS: (
        N_("Results of commands approved elsewhere"),
        N_("Decisions that are made on the gateway itself are not shown here."),
    ),
    Capability.COMMAND_GRANTS: (
        N_("Standing grants"),
        N_("Commands of automations are approved one by one on this gateway."),
    ),
}
"""Title of each feature, and what is done instead."""


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

    @property
    def command_note(self) -> str:
        """Say what to do with a command that is not for the machine of the gateway, or ""."""
        return translate(gateways.COMMAND_NOTES.get(self.code or "", ""))


def build_checks(gateway: Gateway) -> Sequence[CheckRow]:
    """Return all connection checks of a gateway."""
    results = {check["name"]: check for check in gateway.checks or ()}
    return [
        _build_check(gateway, name, translate(title), results.get(name, {}))
        for name, title in CHECK_TITLES.items()
    ]


def describe_status(summary: GatewaySummary) -> tuple[str, str]:
    """Return state icon and label of a gateway."""
    icon, label = STATUS_LABELS[summary.status]
    failing = failing_check(summary.gateway)
    return icon, _failure_title(failing) if failing else translate(label)


def describe_status_evidence(summary: GatewaySummary) -> str:
    """Describe how the status of a gateway is known."""
    if summary.status is GatewayStatus.UNCHECKED:
        return _("a worker checks it within seconds")
    passed = format_duration(now() - summary.since) if summary.since else _("a while")
    if summary.status in (GatewayStatus.CONNECTED, GatewayStatus.LIMITED):
        return _("for %(duration)s", duration=passed)
    checked_at = summary.gateway.checked_at
    checked = format_ago(now() - checked_at) if checked_at else _("a while ago")
    if summary.status is GatewayStatus.REACHABLE:
        return _("checked %(ago)s", ago=checked)
    if summary.status is GatewayStatus.UNMONITORED:
        return _("no worker is connected (last OK %(ago)s)", ago=checked)
    return _("for %(duration)s, tried %(ago)s", duration=passed, ago=checked)


def describe_outage(gateway: Gateway, moment: datetime) -> str:
    """Describe why a gateway is not usable now, or return "" if it should be."""
    failing = find_connection_failure(gateway.checks)
    if failing is not None:
        problem = _failure_title(failing)
        return _("%(name)s is not connected: %(problem)s.", name=gateway.name, problem=problem)
    if is_leased(gateway, moment):
        return ""
    return _("No worker is connected to %(name)s.", name=gateway.name)


def _failure_title(check: Mapping[str, Any]) -> str:
    title = FAILURE_TITLES.get(check.get("code") or "")
    return translate(title or FAILED_CHECK_TITLES.get(check["name"], ""))


def _build_check(gateway: Gateway, name: str, title: str, result: Mapping[str, Any]) -> CheckRow:
    step = CHECK_STEPS.get(result.get("state", ""), "todo")
    since = result.get("since") if step != "todo" else None
    return CheckRow(
        name,
        _failure_title(result) if step == "fail" else title,
        step,
        sentence=describe_check(result, gateway)
        if step == "fail" or (since and name in DETAILED_CHECKS)
        else "",
        command=result.get("command"),
        since=datetime.fromisoformat(since) if since else None,
        code=result.get("code"),
    )


def list_unavailable(gateway: Gateway) -> Sequence[tuple[str, str, str]]:
    """Return the features that are not available on a gateway, as far as is known.

    Each has a title, what is done instead, and the version of OpenClaw that has it.
    """
    return [
        (translate(title), translate(replacement), gateways.CAPABILITY_RULES[one].since)
        for one in gateways.list_missing_capabilities(gateway)
        if one in FEATURE_TEXTS
        for title, replacement in [FEATURE_TEXTS[one]]
    ]
