"""The state of a skill on a gateway, derived from the request and what is known of its result."""

from dataclasses import dataclass
from enum import StrEnum

from models import GatewaySkill, MessageState, SkillAction


class SkillState(StrEnum):
    """What is known about a skill on a gateway. The values are part of the API."""

    REQUESTED = "requested"  # the message to the agent of the gateway waits
    SENT = "sent"  # the agent works on it
    ACKNOWLEDGED = "acknowledged"  # the agent has finished; the gateway was not asked yet
    INSTALLED = "installed"  # the gateway lists the skill
    FAILED = "failed"  # not delivered, or the gateway does not list the skill
    REMOVAL_REQUESTED = "removal_requested"
    REMOVAL_SENT = "removal_sent"
    REMOVAL_ACKNOWLEDGED = "removal_acknowledged"
    REMOVAL_FAILED = "removal_failed"  # not delivered, or the gateway still lists the skill


PROGRESS: dict[MessageState, SkillState] = {
    MessageState.QUEUED: SkillState.REQUESTED,
    MessageState.SENT: SkillState.SENT,
    MessageState.FAILED: SkillState.FAILED,
}
REMOVAL_STATES = {
    SkillState.REQUESTED: SkillState.REMOVAL_REQUESTED,
    SkillState.SENT: SkillState.REMOVAL_SENT,
    SkillState.ACKNOWLEDGED: SkillState.REMOVAL_ACKNOWLEDGED,
    SkillState.FAILED: SkillState.REMOVAL_FAILED,
}
WANTED_STATES = {
    SkillState.REQUESTED,
    SkillState.SENT,
    SkillState.ACKNOWLEDGED,
    SkillState.INSTALLED,
}
"""States in which the field `installed` of the contract is true."""


@dataclass(frozen=True)
class Installation:
    """A skill on a gateway: the last request, its message, and what is known of the result.

    `message_state` is None if the message does not exist any more.
    """

    row: GatewaySkill
    message_state: MessageState | None
    error: str | None  # of the message
    gateway_name: str = ""

    @property
    def state(self) -> SkillState:
        """The state of the skill on the gateway."""
        state = SkillState.ACKNOWLEDGED
        is_wanted = self.row.action is SkillAction.INSTALL
        if self.message_state in PROGRESS:
            state = PROGRESS[self.message_state]
        elif self.row.is_listed is not None:
            is_as_requested = self.row.is_listed == is_wanted
            state = SkillState.INSTALLED if is_as_requested else SkillState.FAILED
        return state if is_wanted else REMOVAL_STATES.get(state, SkillState.REMOVAL_ACKNOWLEDGED)

    @property
    def is_wanted(self) -> bool:
        """Whether the skill is installed, or its installation has been requested."""
        return self.state in WANTED_STATES

    @property
    def known_digest(self) -> str | None:
        """The digest of the files that the gateway has, as far as is known."""
        row, state = self.row, self.state
        is_done = state in (SkillState.ACKNOWLEDGED, SkillState.INSTALLED)
        return row.digest if is_done else row.installed_digest
