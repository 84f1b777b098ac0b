"""The agents of a board, each in a line: what it does now, or since when it is silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models import Agent
from services.agents import AgentCard, State
from services.approvals import ApprovalDetail

MINUTE = timedelta(minutes=1)  # before which silence is not counted
WEEK = timedelta(days=7)  # after which an age is told as a date


@dataclass(frozen=True)
class CrewLine:
    """An agent of the board, and what is said of it: words, and the moment that they end with."""

    agent: Agent
    state: str
    words: str
    moment: datetime | None = None
    ago: bool = False


def crew_lines(crew: Sequence[AgentCard], questions: Sequence[ApprovalDetail]) -> list[CrewLine]:
    """Say of each agent of a board what people want to know first."""
    asking = {question.approval.agent_id for question in questions}
    return [_line(one, asks=one.agent.id in asking) for one in crew]


def _line(one: AgentCard, *, asks: bool) -> CrewLine:
    agent, seen = one.agent, one.agent.last_seen_at
    if one.state is State.PROVISIONING:
        return CrewLine(agent, one.state, "Starting: no check-in yet")
    if seen is None or one.silent_for is None:
        return CrewLine(agent, one.state, "Never checked in")
    if one.state in (State.OFFLINE, State.LATE):
        return _silent(one, one.silent_for)
    if asks:
        return CrewLine(agent, one.state, "Waiting for your answer")
    if one.task is not None:
        return CrewLine(agent, one.state, one.task.title)
    words = "Lead · checked in" if agent.is_board_lead else "Checked in"
    return CrewLine(agent, one.state, words, seen, ago=True)


def _silent(one: AgentCard, silent_for: timedelta) -> CrewLine:
    if silent_for < MINUTE:
        return CrewLine(one.agent, one.state, "Not there")
    words = "Silent for" if silent_for < WEEK else "Silent since"
    return CrewLine(one.agent, one.state, words, one.agent.last_seen_at)
