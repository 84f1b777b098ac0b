"""The agents of a board, each in a line: what it does now, or since when it is silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models import Agent, Board, DesiredState
from services.agents import AgentCard, State
from services.approvals import ApprovalDetail
from services.runs import Phase

PAUSED = "paused"
NEVER = "Never checked in"
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


def crew_lines(
    board: Board, crew: Sequence[AgentCard], questions: Sequence[ApprovalDetail]
) -> list[CrewLine]:
    """Say of each agent of a board what people want to know first."""
    asking = {question.approval.agent_id for question in questions}
    is_paused = board.paused_at is not None
    return [_line(one, asks=one.agent.id in asking, is_paused=is_paused) for one in crew]


def _line(one: AgentCard, *, asks: bool, is_paused: bool) -> CrewLine:
    agent = one.agent
    if one.state is State.PROVISIONING:
        return CrewLine(agent, one.state, "Starting: no check-in yet")
    if one.state is State.AWAY:
        return CrewLine(agent, one.state, "Its gateway is away")
    if one.state in (State.OFFLINE, State.LATE):
        return _silent(one)
    if is_paused and one.run is None:
        return CrewLine(agent, PAUSED, f"Paused · {one.task.title}" if one.task else "Paused")
    work = _work(one, asks=asks)
    return CrewLine(agent, one.state, work) if work is not None else _resting(one)


def _resting(one: AgentCard) -> CrewLine:
    agent, seen = one.agent, one.agent.last_seen_at
    if seen is None:
        return CrewLine(agent, one.state, NEVER)
    words = "Lead · checked in" if agent.is_board_lead else "Checked in"
    return CrewLine(agent, one.state, words, seen, ago=True)


def _work(one: AgentCard, *, asks: bool) -> str | None:
    """Say what an agent does, or for what it waits. None if it does nothing."""
    if asks:
        return "Waiting for your answer"
    if one.run is not None and one.run.phase == Phase.WAITING:
        return "Waits for a person's answer"
    if one.task is not None:
        return one.task.title
    return "At work on its gateway" if one.run is not None else None


def _silent(one: AgentCard) -> CrewLine:
    if one.agent.desired_state is DesiredState.GONE:
        return CrewLine(one.agent, one.state, "Is being removed")
    if one.silent_for is None:
        return CrewLine(one.agent, one.state, NEVER)
    if one.silent_for < MINUTE:
        return CrewLine(one.agent, one.state, "Not there")
    words = "Silent for" if one.silent_for < WEEK else "Silent since"
    return CrewLine(one.agent, one.state, words, one.agent.last_seen_at)
