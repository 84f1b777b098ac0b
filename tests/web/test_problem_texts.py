"""Texts of problems with gateways and agents: by code and values, else the stored sentence."""

from typing import Any

import pytest

from core.clock import now
from core.errors import UpstreamError
from models import Agent, Gateway, MessageState
from openclaw import ErrorKind, GatewayError, get_error_values
from services.gateways.files import FilePlan, FileState
from services.gateways.sync import LEFT_OUT, AgentSyncReport, SyncProblem
from services.messages.circuit_breakers import LOOP_LIMITS, MESSAGE_LIMITS, HoldCause
from services.messages.templates import MessageMarker
from services.pending_reasons import DeliveryConditions, PendingReason, PendingStatus
from tests.support.board_rows import make_message
from tests.support.world import make_world
from web.agents.messages import MESSAGE_TITLES
from web.agents.presenter import EMOJI_NAMES
from web.agents.problem_texts import HOLD_TEXTS, describe_failure, describe_hold, describe_pending
from web.gateways.agent_views import (
    describe_agent_report,
    describe_hidden_diff,
    describe_sync_problem,
)
from web.gateways.connection_texts import (
    describe_check,
    describe_gateway_error,
    describe_upstream_error,
)
from web.ui.avatars import EMOJI_ICONS

URL = "ws://127.0.0.1:18789"
WORLD = make_world()
FLOOD = {"cause": "messages", "reason": "As stored.", "values": {"limit": "a day", "count": 9}}


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_error_of_a_gateway_has_a_text(kind: ErrorKind) -> None:
    values = get_error_values(GatewayError(kind, "Its own words."), URL)
    text = describe_gateway_error(kind.value, values, "As stored.")
    assert text != "As stored."
    assert "%" not in text


def test_an_error_without_its_values_is_shown_as_it_was_stored() -> None:
    assert describe_gateway_error("dns", {}, "As stored.") == "As stored."
    assert describe_gateway_error("of_another_version", {"host": "x"}, "As stored.") == "As stored."


def test_an_error_of_a_call_has_the_command_that_helps() -> None:
    error = UpstreamError("gateway_token_missing", "As stored.", command="cat token")
    assert describe_upstream_error(error).endswith("Run there: cat token")


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ({"name": "port", "state": "failed", "sentence": "As stored."}, "As stored."),
        (
            {"name": "address", "state": "failed", "code": "dns", "values": {"host": "tern"}},
            "No name server knows tern. Check the spelling.",
        ),
        ({"name": "port", "state": "ok", "values": {"port": "9"}}, "Port 9 answers."),
        ({"name": "port", "state": "ok", "sentence": "As stored."}, "As stored."),
        ({"name": "tls", "state": "ok"}, "Not used: the address begins with ws://."),
        ({"name": "protocol", "state": "ok", "values": {"protocol": "4"}}, "Protocol 4."),
    ],
)
def test_a_check_is_described_by_its_values(check: dict[str, Any], text: str) -> None:
    assert describe_check(check, Gateway(url=URL)) == text


def test_every_limit_of_a_circuit_breaker_has_a_text() -> None:
    limits = {(HoldCause.MESSAGES, limit.period_name) for limit in MESSAGE_LIMITS}
    limits |= {(HoldCause.LOOP, limit.period_name) for limit in LOOP_LIMITS}
    limits |= {(HoldCause.FAILURES, name) for name in ("same_task", "any_task")}
    assert set(HOLD_TEXTS) == limits
    assert "9 messages in a day" in describe_hold(Agent(hold=FLOOD))
    assert describe_hold(Agent(hold={"cause": "loop", "reason": "As stored."})) == "As stored."


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (None, ""),
        ({"code": "x", "reason": "As stored."}, "As stored."),
        ({"code": "no_check_in"}, "It was woken 3 times and has not called."),
        ({"code": "not_listed", "step": "listed"}, "The gateway has accepted the agent"),
        ({"code": "not_listed", "step": "files"}, "The gateway no longer has the agent."),
        ({"code": "rejected", "values": {"reply": "No room."}}, "No room."),
    ],
)
def test_a_failed_step_is_described_by_its_code(failure: dict[str, str] | None, text: str) -> None:
    shown = describe_failure(Agent(provision_failure=failure, wake_attempts=3))
    assert text in shown
    assert bool(text) == bool(shown)


@pytest.mark.parametrize("reason", PendingReason)
def test_everything_that_a_message_waits_for_has_a_text(reason: PendingReason) -> None:
    agent, gateway = Agent(hold=FLOOD), Gateway(name="Harbour", url=URL, checks=[])
    message = make_message(WORLD.worker, "BOARD CHAT\nHello.", state=MessageState.QUEUED)
    status = PendingStatus(reason, now(), "As stored.")
    text = describe_pending(status, message, DeliveryConditions(agent, gateway))
    assert text
    assert "As stored." not in text


def test_every_kind_of_message_and_every_picture_has_a_name() -> None:
    assert {marker.value for marker in MessageMarker} <= MESSAGE_TITLES.keys()
    assert list(EMOJI_NAMES) == list(EMOJI_ICONS)


def test_a_report_says_what_is_written_and_what_is_kept() -> None:
    plans = [
        FilePlan("AGENTS.md", FileState.CHANGED, "", "--- a"),
        FilePlan("SOUL.md", FileState.KEPT, "", "--- a"),
    ]
    report = AgentSyncReport(WORLD.worker, plans, "As the API says.", is_listed=False)
    assert describe_agent_report(report) == (
        "The gateway does not have this agent yet: it is created. 1 of 2 files to write."
        " Changed by the agent, and kept: SOUL.md."
    )
    assert "it is created" in describe_agent_report(AgentSyncReport(WORLD.worker, (), ""))
    assert describe_hidden_diff(plans[0]) == ""
    assert "too long" in describe_hidden_diff(FilePlan("A", FileState.NEW, "", "A is too long."))


def test_a_problem_of_a_sync_is_described_by_its_code() -> None:
    assert "changed or removed" in describe_sync_problem(LEFT_OUT)
    assert describe_sync_problem(SyncProblem("x", "As stored.")) == "As stored."
