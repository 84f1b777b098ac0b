"""Why a pending message is not delivered yet, for users: gateway, agent, board, or turn."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Uuid, bindparam, select

from core.db.reads import Query, Source
from models import Agent, Board, Gateway, Message, MessageState, Organization
from services import gateway_status, messages
from services.gateway_status import GatewayStatus


class PendingReason(StrEnum):
    """What a message waits for. The values are part of the API contract."""

    AGENT = "agent"  # until the agent fetches it
    GATEWAY_AWAY = "gateway_away"
    AGENT_STARTING = "agent_starting"
    BOARD_PAUSED = "board_paused"
    ORGANIZATION_STOPPED = "organization_stopped"
    AGENT_HELD = "agent_held"  # by a circuit breaker
    GATEWAY_BUSY = "gateway_busy"  # until the gateway accepts it, at the next attempt
    WORKER = "carrier"  # for the next run of the worker
    TURN = "turn"  # until its turn ends


@dataclass(frozen=True)
class PendingStatus:
    """What a message waits for, since when (if known), and a sentence for users."""

    reason: PendingReason
    since: datetime | None
    sentence: str


@dataclass(frozen=True)
class DeliveryConditions:
    """An agent, with what determines the delivery of its messages.

    The gateway is None if the agent fetches its messages itself.
    """

    agent: Agent
    gateway: Gateway | None = None
    paused_at: datetime | None = None
    stopped_at: datetime | None = None  # of the organization

    @classmethod
    def from_agent(cls, agent: Agent) -> "DeliveryConditions":
        """Build the context of an agent that was loaded with gateway, board and organization."""
        stopped_at = agent.organization.stopped_at
        if agent.gateway is None or not (agent.desired_state or agent.is_linked):
            return cls(agent, stopped_at=stopped_at)
        paused_at = agent.board.paused_at if agent.board else None
        return cls(agent, agent.gateway, paused_at, stopped_at)

    def pending_status(self, message: Message, moment: datetime) -> PendingStatus | None:
        """Return what a message waits for at this time; None if it is not pending."""
        if message.state not in (MessageState.QUEUED, MessageState.SENT):
            return None
        held = self._held_status() if message.state is MessageState.QUEUED else None
        if held is not None:
            return held
        if self.gateway is None:
            return PendingStatus(
                PendingReason.AGENT, message.waiting_since, "It waits until the agent fetches it."
            )
        away = _gateway_status(self.gateway, moment)
        if message.state is MessageState.SENT:
            sentence = "The gateway has it, and the agent is working on it."
            return away or PendingStatus(PendingReason.TURN, message.waiting_since, sentence)
        starting = None if messages.is_reachable(self.agent) else _starting_status(self.agent)
        return away or starting or self._paused_status(message) or _queued_status(message, moment)

    def _held_status(self) -> PendingStatus | None:
        if self.stopped_at is not None:
            sentence = "All agents are stopped. It is sent when they are resumed."
            return PendingStatus(PendingReason.ORGANIZATION_STOPPED, self.stopped_at, sentence)
        if self.agent.hold is None:
            return None
        sentence = f"The agent is held until a person releases it. {self.agent.hold['reason']}"
        return PendingStatus(PendingReason.AGENT_HELD, self.agent.held_at, sentence)

    def _paused_status(self, message: Message) -> PendingStatus | None:
        if self.paused_at is None or message.kind in messages.BOARD_COMMANDS:
            return None
        sentence = "Its board is paused. It is sent when the board is resumed."
        return PendingStatus(PendingReason.BOARD_PAUSED, self.paused_at, sentence)


DELIVERY_CONDITIONS: Query[tuple[Gateway | None, datetime | None, datetime | None]] = Query(
    select(Gateway, Board.paused_at, Organization.stopped_at)
    .select_from(Organization)
    .outerjoin(Board, Board.id == bindparam("board_id", type_=Uuid()))
    .outerjoin(Gateway, Gateway.id == bindparam("gateway_id", type_=Uuid()))
    .where(Organization.id == bindparam("organization_id"))
)


async def load_delivery_conditions(source: Source, agent: Agent) -> DeliveryConditions:
    """Load the context of an agent that was loaded without these rows."""
    [(gateway, paused_at, stopped_at)] = await DELIVERY_CONDITIONS.fetch(
        source,
        organization_id=agent.organization_id,
        board_id=agent.board_id,
        gateway_id=agent.gateway_id,
    )
    if not (agent.desired_state or agent.is_linked):
        return DeliveryConditions(agent, stopped_at=stopped_at)
    return DeliveryConditions(agent, gateway, paused_at, stopped_at)


def _gateway_status(gateway: Gateway, moment: datetime) -> PendingStatus | None:
    status, name = gateway_status.compute_status(gateway, moment), gateway.name
    since = gateway_status.status_since(gateway)
    if status is GatewayStatus.FAILED:
        check = gateway_status.find_connection_failure(gateway.checks) or {}
        reason = check.get("sentence", "")
        return PendingStatus(PendingReason.GATEWAY_AWAY, since, f"{name} is away. {reason}".strip())
    if status in (GatewayStatus.CONNECTED, GatewayStatus.LIMITED):
        return None
    sentence = f"No worker is connected to {name}. A worker must run."
    return PendingStatus(PendingReason.GATEWAY_AWAY, gateway.lease_expires_at, sentence)


def _starting_status(agent: Agent) -> PendingStatus:
    sentence = "Its gateway does not have the agent yet."
    failure = agent.provision_failure
    if failure and failure.get("reason"):
        sentence = f"{sentence} {failure['reason']}"
    return PendingStatus(PendingReason.AGENT_STARTING, None, sentence)


def _queued_status(message: Message, moment: datetime) -> PendingStatus:
    if message.last_error and message.next_attempt_at and message.next_attempt_at > moment:
        sentence = f"The gateway has not accepted it, and is asked again. {message.last_error}"
        return PendingStatus(PendingReason.GATEWAY_BUSY, message.waiting_since, sentence)
    return PendingStatus(PendingReason.WORKER, message.waiting_since, "It is about to be sent.")
