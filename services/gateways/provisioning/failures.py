"""Failures of provisioning steps: of the gateway, and those that we find ourselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models import Agent, ProvisioningStep
from openclaw import (
    RESTART_COMMAND,
    ErrorKind,
    GatewayError,
    build_error_hint,
    get_error_hint,
    get_error_values,
    is_restart_required,
    is_unsupported_request,
)

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

    def to_row(self, step: ProvisioningStep | None, moment: datetime) -> dict[str, Any]:
        """Return what an agent's row stores about this failure of a step."""
        facts = {"code": self.code, "reason": self.reason, "command": self.command}
        values, at = dict(self.values), moment.isoformat()
        return {**facts, "step": step and step.value, "values": values, "at": at}


REMEDIES: Mapping[str, Callable[[GatewayError], bool]] = {
    "restart_required": is_restart_required,
    "unsupported_request": is_unsupported_request,
    "config_rejected": lambda error: "issues" in error.details,
}
"""Errors that a person can remedy, by the code of their text."""

UNEXPECTED_FAILURE = StepFailure(
    "unexpected", "Something went wrong in Mission Control. See the log of the server."
)
NOT_LISTED_FAILURE = StepFailure(NOT_LISTED, "The gateway no longer has the agent.")
STILL_CREATING_FAILURE = StepFailure(
    "coming", "The gateway may still be creating the agent.", counts_as_attempt=False
)
KEY_TAKEN_FAILURE = StepFailure(
    "place_taken", "Another agent with the same key is on the gateway, and must be removed first."
)
UNLISTED_FAILURE = StepFailure(
    NOT_LISTED,
    "The gateway has accepted the agent but does not list it. This happens after it was killed"
    " while it created an agent: restart it.",
    RESTART_COMMAND,
)


def is_unlisted(agent: Agent) -> bool:
    """Return whether the gateway has accepted an agent and did not list it in time."""
    failure = agent.provision_failure or {}
    return failure.get("code") == NOT_LISTED and failure.get("step") == ProvisioningStep.LISTED


def step_failure_of(error: GatewayError, url: str) -> StepFailure:
    """Convert an error of the gateway at a URL.

    A rejection ends the step, unless the gateway has changed meanwhile: the same request is
    rejected again.
    """
    code, values = error.kind.value, get_error_values(error, url)
    sentence, command = get_error_hint(error, url)
    for remedy, is_this in REMEDIES.items():
        if is_this(error):
            code, values["reply"] = remedy, error.message
            sentence, command = build_error_hint(code, values)
            break
    is_rejected = error.kind is ErrorKind.REJECTED and not error.is_conflict
    return StepFailure(
        code,
        sentence,
        command,
        retry_after=error.retry_after,
        counts_as_attempt=error.kind not in TRANSIENT_ERRORS,
        is_permanent=is_rejected or error.kind in PERMANENT_ERRORS or code != error.kind.value,
        values=values,
    )
