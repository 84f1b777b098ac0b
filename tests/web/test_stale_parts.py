"""The parts of pages that events make out of date."""

import re
from pathlib import Path

import pytest

from models import EventType
from services.events import EVENT_DEFINITIONS

TEMPLATES = Path(__file__).parents[2] / "templates"
TRIGGER = re.compile(r"(?<=[\", ])([a-z-]+) from:body")
OF_SCRIPTS = {"agent-cards", "notifications", "presence", "rights"}  # not named by an event alone


def test_every_part_that_reloads_itself_is_made_out_of_date_by_an_event() -> None:
    triggers = {
        name for path in TEMPLATES.rglob("*.html") for name in TRIGGER.findall(path.read_text())
    }
    named = {name for one in EVENT_DEFINITIONS.values() for name in one.stale_parts}
    assert len(triggers) > 20
    assert triggers - named - OF_SCRIPTS == set()


CHANGES = [
    (EventType.AGENT_STATUS_CHANGED, "agents/_first_call_status"),
    (EventType.BOARD_MEMORY_CREATED, "boards/_chat_link"),
    (EventType.BOARD_PAUSED, "boards/_pause_notice"),
    (EventType.GATEWAY_REQUEST_ASKED, "approvals/_inbox", "runs/_agent_run", "_sidebar"),
    (EventType.GATEWAY_UPDATED, "gateways/_overview", "gateways/_table"),
    (EventType.GROUP_MEMORY_CREATED, "groups/_messages"),
    (EventType.MEMBER_JOINED, "people/index"),
    (EventType.MESSAGE_ACKNOWLEDGED, "agents/_messages", "board_webhooks/_payload"),
    (EventType.MESSAGE_QUEUED, "agents/_messages"),
    (EventType.ONBOARDING_UPDATED, "approvals/_inbox", "onboarding/_banner", "_sidebar"),
    (EventType.QUESTION_ANSWERED, "approvals/_inbox", "_sidebar"),
    (EventType.RUN_CHANGED, "runs/_agent_run", "runs/_task_runs"),
    (EventType.SAVED_VIEW_UPDATED, "boards/_view"),
    (EventType.TASK_COMMENT, "activity/_new_count", "comments/_conversation", "_sidebar"),
    (EventType.TASK_CREATED, "groups/_boards", "boards/_view", "boards/_board_table"),
    (EventType.TASK_UPDATED, "my_tasks/_list"),
    (EventType.TASK_DELETED, "approvals/_inbox", "_sidebar"),  # with its pending approvals
    (EventType.TASK_RESTORED, "approvals/_inbox", "_sidebar"),
    (EventType.WEBHOOK_ENDPOINT_DISABLED, "webhook_endpoints/_list", "webhook_endpoints/_log"),
]
"""What no browser test states: types of events, and templates of parts that show what changed."""


@pytest.mark.parametrize(("type", "parts"), [(type, parts) for type, *parts in CHANGES])
def test_a_change_reloads_the_parts_that_show_it(type: EventType, parts: list[str]) -> None:
    names = {re.sub("{.*?}", "*", name) for name in EVENT_DEFINITIONS[type].stale_parts}
    for part in parts:
        text = re.sub("{{.*?}}", "*", (TEMPLATES / f"{part}.html").read_text())
        assert names & {*re.findall(r"(?<=[\", ])([a-z*-]+) from:body", text)}, part


def test_parts_reload_for_what_no_event_alone_makes_out_of_date() -> None:
    text = "".join(path.read_text() for path in TEMPLATES.rglob("*.html"))
    assert {*TRIGGER.findall(text)} >= OF_SCRIPTS
