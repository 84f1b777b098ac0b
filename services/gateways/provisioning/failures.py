"""Failures of provisioning steps: of the gateway, and those that we find ourselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models import Agent, ProvisioningStep
from openclaw import RESTART_COMMAND, ErrorKind, GatewayError, get_error_hint, get_error_values

NOT_LISTED = "not_listed"  # the code of a failure

TRANSIENT_ERRORS = frozenset({ErrorKind.CLOSED, ErrorKind.RESTARTING, ErrorKind.STARTING_UP})
"""The gateway recovers from these by itself, so they do not count as attempts."""

PERMANENT_ERRORS = frozenset({ErrorKind.MISSING_SCOPE, ErrorKind.TOO_LARGE})
"""These persist until somebody intervenes."""


@dataclass(frozen=True)
class StepFailure:
    """Why a step did not succeed: an error code, a sentence, and a command that may help."""

    code: str
    reason: str
    command: str | None = None
    retry_after: float | None = None  # seconds, if the gateway asks for a delay
    counts_as_attempt: bool = True  # False for conditions that end without intervention
    is_permanent: bool = False  # retries cannot succeed
    values: Mapping[str, str] = field(default_factory=dict)  # for texts of the code


UNEXPECTED_FAILURE = StepFailure(
    "unexpected", "Something went wrong here; the server's log says what."
)
NOT_LISTED_FAILURE = StepFailure(NOT_LISTED, "The gateway does not have the agent any more.")
STILL_CREATING_FAILURE = StepFailure(
    "coming", "The gateway may be about to have the agent.", counts_as_attempt=False
)
KEY_TAKEN_FAILURE = StepFailure(
    "place_taken", "Another agent has its place there, and has to be removed first."
)
UNLISTED_FAILURE = StepFailure(
    NOT_LISTED,
    "The gateway has accepted the agent and does not list it. A gateway that was killed while it"
    " created an agent lists no further ones until it is restarted.",
    RESTART_COMMAND,
)


def is_unlisted(agent: Agent) -> bool:
    """Return whether the gateway has accepted an agent and did not list it in time."""
    failure = agent.provision_failure or {}
    return failure.get("code") == NOT_LISTED and failure.get("step") == ProvisioningStep.LISTED


def step_failure_of(error: GatewayError, url: str) -> StepFailure:
    """Convert an error of the gateway at a URL."""
    sentence, command = get_error_hint(error, url)
    return StepFailure(
        error.kind.value,
        sentence,
        command,
        retry_after=error.retry_after,
        counts_as_attempt=error.kind not in TRANSIENT_ERRORS,
        is_permanent=error.kind in PERMANENT_ERRORS or "issues" in error.details,
        values=get_error_values(error, url),
    )
