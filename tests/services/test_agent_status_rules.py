"""The status of an agent is computed from its silence."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import clock
from core.clock import now
from models import Agent
from services import agents
from services.agents import AgentState, rules

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EVERY_TEN_MINUTES = {"every": "10m"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 10 * MINUTE),
        ("30s", MINUTE / 2),
        ("1h", HOUR),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("500ms", timedelta(seconds=0.5)),
        (" 2d ", 48 * HOUR),
        ("0m", timedelta()),
        ("999999999d", timedelta(days=7)),
        ("banana", None),
        ("", None),
        ("10", None),
        ("10 m", None),
        ("-5m", None),
        ("5m!", None),
    ],
)
def test_duration_is_parsed(text, expected) -> None:
    assert clock.parse_duration(text) == expected


@given(st.text())
def test_parser_accepts_any_text_and_limits_the_result(text) -> None:
    expected = clock.parse_duration(text)
    assert expected is None or timedelta() <= expected <= timedelta(days=7)


@pytest.mark.parametrize(
    ("config", "interval", "offline_after"),
    [
        (None, 10 * MINUTE, 10 * MINUTE),
        ({}, 10 * MINUTE, 10 * MINUTE),
        (rules.DEFAULT_HEARTBEAT, 10 * MINUTE, 10 * MINUTE),
        ({"every": "banana"}, 10 * MINUTE, 10 * MINUTE),
        ({"every": 5}, 10 * MINUTE, 10 * MINUTE),
        ({"every": "10m"}, 10 * MINUTE, 20 * MINUTE),
        (rules.DEFAULT_HEARTBEAT | {"quiet": False}, 10 * MINUTE, 20 * MINUTE),
        ({"every": "1m"}, MINUTE, 10 * MINUTE),
        ({"every": "1h"}, HOUR, 2 * HOUR),
        ({"every": "0m"}, None, 10 * MINUTE),
    ],
)
def test_offline_threshold_is_two_chosen_intervals_or_ten_minutes(
    config, interval, offline_after
) -> None:
    agent = Agent(heartbeat_config=config)
    assert agents.heartbeat_interval(agent) == interval
    assert agents.offline_threshold(agent) == offline_after


def test_a_smaller_offline_setting_applies_without_a_chosen_interval() -> None:
    moment = now()
    agent = Agent(heartbeat_config=rules.DEFAULT_HEARTBEAT, status="online")
    agent.last_seen_at = moment - 3 * MINUTE
    assert agents.compute_status(agent, None, moment, 2 * MINUTE) == "offline"
    assert agents.compute_status(agent, None, moment, 4 * MINUTE) == "online"


@pytest.mark.parametrize(
    ("stored", "silent", "status"),
    [
        ("provisioning", None, "provisioning"),
        ("online", None, "provisioning"),
        ("online", MINUTE, "online"),
        ("degraded", MINUTE, "degraded"),
        ("online", 20 * MINUTE, "online"),
        ("online", 21 * MINUTE, "offline"),
        ("degraded", 21 * MINUTE, "offline"),
        ("offline", MINUTE, "offline"),
        ("updating", 21 * MINUTE, "updating"),
        ("deleting", None, "deleting"),
    ],
)
def test_status_is_computed_from_stored_status_and_silence(stored, silent, status) -> None:
    """A27.9."""
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    agent.heartbeat_config = EVERY_TEN_MINUTES
    assert agents.compute_status(agent, None, moment) == status


@pytest.mark.parametrize(
    ("stored", "silent", "working", "state"),
    [
        ("online", MINUTE, True, AgentState.WORKING),
        ("online", MINUTE, False, AgentState.IDLE),
        ("busy", MINUTE, False, AgentState.IDLE),
        ("online", 10.4 * MINUTE, True, AgentState.WORKING),
        ("online", 11 * MINUTE, True, AgentState.LATE),
        ("online", 21 * MINUTE, True, AgentState.OFFLINE),
        ("offline", MINUTE, True, AgentState.OFFLINE),
        ("online", None, False, AgentState.PROVISIONING),
        ("updating", MINUTE, True, AgentState.PROVISIONING),
        ("deleting", MINUTE, True, AgentState.OFFLINE),
    ],
)
def test_state_is_computed_from_status_silence_and_work(stored, silent, working, state) -> None:
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    agent.heartbeat_config = EVERY_TEN_MINUTES
    assert rules.compute_state(agent, None, moment, working=working) is state


@pytest.mark.parametrize(
    ("stored", "silent", "state"),
    [
        ("online", MINUTE, AgentState.WORKING),
        ("online", 11 * MINUTE, AgentState.WORKING),
        ("online", HOUR, AgentState.WORKING),
        ("online", None, AgentState.PROVISIONING),
        ("updating", MINUTE, AgentState.PROVISIONING),
        ("deleting", MINUTE, AgentState.OFFLINE),
    ],
)
def test_agent_with_a_running_run_is_working(stored, silent, state) -> None:
    moment = now()
    agent = Agent(status=stored, last_seen_at=moment - silent if silent else None)
    assert rules.compute_state(agent, None, moment, working=False, running=True) is state


def test_agent_without_heartbeat_is_never_late() -> None:
    moment = now()
    agent = Agent(status="online", last_seen_at=moment - 9 * MINUTE)
    agent.heartbeat_config = {"every": "0m"}
    assert rules.compute_state(agent, None, moment, working=False) is AgentState.IDLE
    agent.heartbeat_config = {"every": "5m"}
    assert rules.compute_state(agent, None, moment, working=False) is AgentState.LATE
