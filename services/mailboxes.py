"""What people see of an agent's messages: each with what it waits for, if it does."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Gateway, Message, MessageState
from services import gateways, messages
from services.gateways import Standing


class Reason(StrEnum):
    """What a message waits for. The values are part of the API."""

    AGENT = "agent"  # that its agent fetches it
    GATEWAY_AWAY = "gateway_away"
    AGENT_STARTING = "agent_starting"
    BOARD_PAUSED = "board_paused"
    GATEWAY_BUSY = "gateway_busy"  # that its gateway takes it, at the next attempt
    CARRIER = "carrier"  # for a moment
    TURN = "turn"  # that the turn which it has begun is over


@dataclass(frozen=True)
class Wait:
    """What a message waits for, since when, if that is known, and the same in a sentence."""

    reason: Reason
    since: datetime | None
    sentence: str


@dataclass(frozen=True)
class Mailbox:
    """An agent, and what decides whether its messages are carried: its gateway and its board."""

    agent: Agent
    gateway: Gateway | None = None
    paused_at: datetime | None = None

    @classmethod
    def of(cls, agent: Agent) -> "Mailbox":
        """Make one of an agent that was found with its gateway and its board."""
        if agent.gateway is None or not (agent.desired_state or agent.is_linked):
            return cls(agent)
        return cls(agent, agent.gateway, agent.board.paused_at if agent.board else None)

    def wait_of(self, message: Message, moment: datetime) -> Wait | None:
        """Return what a message waits for at a moment; None if it has come to an end."""
        if message.state not in (MessageState.QUEUED, MessageState.SENT):
            return None
        if self.gateway is None:
            return Wait(Reason.AGENT, message.next_try_at, "It waits until the agent fetches it.")
        away = _away(self.gateway, moment)
        if message.state is MessageState.SENT:
            return away or _at_work(message)
        starting = None if messages.can_hear(self.agent) else _starting(self.agent)
        return away or starting or self._paused(message) or _in_line(message, moment)

    def _paused(self, message: Message) -> Wait | None:
        if self.paused_at is None or message.kind in messages.COMMANDS:
            return None
        sentence = "Its board is paused. It goes as soon as the board is resumed."
        return Wait(Reason.BOARD_PAUSED, self.paused_at, sentence)


async def of_agent(session: AsyncSession, agent: Agent) -> Mailbox:
    """Return the mailbox of an agent that was found."""
    if agent.gateway_id is None or not (agent.desired_state or agent.is_linked):
        return Mailbox(agent)
    query = select(Gateway, Board.paused_at).outerjoin(Board, Board.id == agent.board_id)
    found = (await session.execute(query.where(Gateway.id == agent.gateway_id))).one_or_none()
    return Mailbox(agent, *found) if found else Mailbox(agent)


def _away(gateway: Gateway, moment: datetime) -> Wait | None:
    """Say that a gateway cannot be reached, or that nobody keeps in touch with it."""
    stands, name = gateways.standing(gateway, moment), gateway.name
    since = gateways.stands_so_since(gateway)
    if stands is Standing.FAILED:
        rung = gateways.in_the_way(gateway) or {}
        reason = rung.get("sentence", "")
        return Wait(Reason.GATEWAY_AWAY, since, f"{name} is away. {reason}".strip())
    if stands is Standing.CONNECTED:
        return None
    sentence = f"Nobody is connected to {name}: a worker has to run."
    return Wait(Reason.GATEWAY_AWAY, gateway.held_until, sentence)


def _starting(agent: Agent) -> Wait:
    sentence = "Its gateway has the agent not yet."
    failure = agent.provision_failure
    if failure and failure.get("reason"):
        sentence = f"{sentence} {failure['reason']}"
    return Wait(Reason.AGENT_STARTING, None, sentence)


def _at_work(message: Message) -> Wait:
    sentence = "The gateway has it, and the agent is at work on it."
    return Wait(Reason.TURN, message.next_try_at, sentence)


def _in_line(message: Message, moment: datetime) -> Wait:
    if message.last_error and message.due_at and message.due_at > moment:
        sentence = f"The gateway has not taken it, and is asked again. {message.last_error}"
        return Wait(Reason.GATEWAY_BUSY, message.next_try_at, sentence)
    return Wait(Reason.CARRIER, message.next_try_at, "It is about to be sent.")
