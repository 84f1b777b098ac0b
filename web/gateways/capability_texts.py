"""Texts about what the version of a gateway does not support."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models import Gateway
from services import gateways
from services.gateways import Capability
from web.ui.translation import N_, translate

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
class UnavailableFeature:
    """A feature that a gateway does not have, what is done instead, and the version that has it."""

    title: str
    replacement: str
    since: str


def list_unavailable(gateway: Gateway) -> Sequence[UnavailableFeature]:
    """Return the features that are not available on a gateway, as far as is known."""
    missing = gateways.list_missing_capabilities(gateway)
    texts = [
        (one, FEATURE_TEXTS[one.capability]) for one in missing if one.capability in FEATURE_TEXTS
    ]
    return [
        UnavailableFeature(translate(title), translate(text), one.since)
        for one, (title, text) in texts
    ]
