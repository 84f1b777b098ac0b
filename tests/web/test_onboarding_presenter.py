"""Texts and forms of the onboarding, without a database."""

from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.clock import now
from models import Agent, Gateway, ProvisioningState, ProvisioningStep
from services.gateways.files import LeadPreview, renderer
from services.onboarding import AnswerOption, OnboardingPreview
from tests.services.test_onboarding_transcript import BRIEFING, USER, parse, question
from web.agents.provisioning import build_lead_launch
from web.gateways.presenter import describe_outage
from web.onboarding.presenter import (
    LEAD_LIMITS,
    LEAD_RIGHTS,
    build_brief,
    build_preview_context,
    find_heading,
    parse_draft_date,
)
from web.onboarding.views import OWN_ANSWER, OnboardingAnswerForm, split_answer

NEW_YORK = ZoneInfo("America/New_York")
OPTIONS = [
    AnswerOption("Yes", False),
    AnswerOption("Yes, at once", False),
    AnswerOption("I'll type it", True),
]
QUESTION = "0198c7f0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("What should be true when this board is finished?", "Objective"),
        ("How will you know?", "Measures"),
        ("When does it need to be true?", "Target date"),
        ("Is there a deadline?", "Target date"),
        ("What should the lead be called?", "Board lead"),
        ("How often should the lead report?", "How it works with you"),
        ("How much may it decide without asking you?", "How it works with you"),
    ],
)
def test_an_answer_appears_under_its_heading(question: str, heading: str) -> None:
    assert find_heading(question) == heading


def test_the_brief_contains_all_answers_and_open_headings() -> None:
    value = parse(
        BRIEFING,
        question("What for?"),
        (USER, "A site"),
        question("For whom?"),
        (USER, "Partners"),
        question("How will you know?"),
    )
    known = dict(build_brief(value, {}, UTC))
    assert known["Objective"] == ["A site"]
    assert known["Other answers"] == ["Partners"]
    assert known["Measures"] == known["Board lead"] == []


def test_the_brief_of_a_draft_is_the_draft() -> None:
    draft: dict[str, Any] = {
        "objective": "Ten partners",
        "success_metrics": {"Live": 10},
        "target_date": "2027-01-31T00:00:00Z",
        "lead_agent": {"name": "Ava", "autonomy_level": "ask_first", "verbosity": "as Ava likes"},
    }
    known = dict(build_brief(parse(), draft, NEW_YORK))
    assert known["Measures"] == ["Live: 10"]
    assert known["Target date"] == ["31 January 2027"]
    assert known["Board lead"] == ["Ava"]
    assert known["How it works with you"] == ["Asks before it does anything", "as Ava likes"]


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2027-01-31", date(2027, 1, 31)),
        ("2027-01-31T00:00:00", date(2027, 1, 31)),
        ("2027-02-01T03:00:00Z", date(2027, 1, 31)),
        ("soon", None),
        (7, None),
        (None, None),
    ],
)
def test_a_draft_date_is_in_the_time_zone_of_the_user(value: object, day: date | None) -> None:
    assert parse_draft_date(value, NEW_YORK) == day


@pytest.mark.parametrize(
    ("choice", "other", "value"),
    [
        (["Yes"], None, ("Yes", None)),
        (["Yes"], "not counted", ("Yes", None)),
        (["Yes", "I'll type it"], "but", ("Yes", "but")),
        (["I'll type it"], "Mine", ("Mine", None)),
        ([OWN_ANSWER], "Mine", ("Mine", None)),
        (["Yes", OWN_ANSWER], "but", ("Yes", "but")),
        ([], "Mine", ("Mine", None)),
    ],
)
def test_an_answer_combines_options_and_text(
    choice: list[str], other: str | None, value: tuple[str, str | None]
) -> None:
    assert OnboardingAnswerForm(question=QUESTION, choice=choice, other=other).to_answer() == value


@pytest.mark.parametrize(
    ("answer", "ticked", "typed"),
    [
        ("Yes", ["Yes"], ""),
        ("Yes, at once", ["Yes, at once"], ""),
        ("Yes: but", ["Yes", "I'll type it"], "but"),
        ("Mine", ["I'll type it"], "Mine"),
        ("Yesterday", ["I'll type it"], "Yesterday"),
        ("I'll type it", ["I'll type it"], ""),
    ],
)
def test_an_answer_is_split_to_be_corrected(answer: str, ticked: list[str], typed: str) -> None:
    assert split_answer(answer, OPTIONS) == (ticked, typed)


def test_the_page_adds_a_free_text_option_if_needed() -> None:
    assert split_answer("Mine", OPTIONS[:2]) == ([OWN_ANSWER], "Mine")


MOMENT = now()


def make_gateway(**fields: Any) -> Gateway:
    usual = {"lease_expires_at": MOMENT + timedelta(seconds=30), "checks": []}
    return Gateway(name="Harbour", **(usual | fields))


def make_lead(**fields: Any) -> Agent:
    usual: dict[str, Any] = {"step_attempts": 0, "wake_attempts": 0, "provision_failure": None}
    usual["provisioning_state"] = ProvisioningState()
    return Agent(name="Ava", **(usual | fields))


def states(lead: Agent, gateway: Gateway | None = None) -> list[str]:
    return [one.state for one in build_lead_launch(lead, gateway or make_gateway(), MOMENT).steps]


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        (make_lead(), "done now todo todo todo todo"),
        (make_lead(step=ProvisioningStep.CREATE), "done now todo todo todo todo"),
        (make_lead(step=ProvisioningStep.NAME), "done now todo todo todo todo"),
        (make_lead(step=ProvisioningStep.FILES), "done done now todo todo todo"),
        (make_lead(step=ProvisioningStep.SCRATCH), "done done done now todo todo"),
        (make_lead(step=ProvisioningStep.WAKE), "done done done done now todo"),
        (make_lead(step=ProvisioningStep.CHECK_IN), "done done done done done now"),
        (make_lead(step=ProvisioningStep.REMOVE), "done now"),
        (make_lead(last_seen_at=MOMENT), "done done done done done done"),
        (
            make_lead(step=ProvisioningStep.FILES, provision_failure={"reason": "No room."}),
            "done done fail todo todo todo",
        ),
    ],
)
def test_the_launch_of_a_lead_is_shown_step_by_step(lead: Agent, expected: str) -> None:
    assert " ".join(states(lead)) == expected
    assert build_lead_launch(lead, make_gateway(), MOMENT).is_complete is (
        "now" not in expected and "fail" not in expected
    )


def test_a_step_shows_what_it_waits_for() -> None:
    woken = MOMENT - timedelta(seconds=12)
    lead = make_lead(
        step=ProvisioningStep.CHECK_IN,
        woken_at=woken,
        wake_attempts=2,
        checkin_deadline_at=woken + timedelta(seconds=30),
    )
    last = build_lead_launch(lead, make_gateway(), MOMENT).steps[-1]
    assert (last.detail, last.elapsed) == ("Ava was woken 2 times.", "12 s of 30 s")
    again = build_lead_launch(
        make_lead(step=ProvisioningStep.FILES, step_attempts=3), make_gateway(), MOMENT
    ).steps[2]
    assert again.detail == "Tried 3 times so far."
    failed = make_lead(
        step=ProvisioningStep.WAKE, provision_failure={"reason": "No.", "command": "do it"}
    )
    assert build_lead_launch(failed, make_gateway(), MOMENT).steps[4].command == "do it"


def test_an_unreachable_gateway_is_shown_as_the_reason() -> None:
    broken = make_gateway(checks=[{"name": "port", "state": "failed"}])
    assert describe_outage(broken, MOMENT) == "Harbour is not connected: No answer."
    assert (
        describe_outage(make_gateway(lease_expires_at=None), MOMENT)
        == "No worker is connected to Harbour."
    )
    assert describe_outage(make_gateway(), MOMENT) == ""
    assert (
        "It continues automatically"
        in build_lead_launch(make_lead(step=ProvisioningStep.FILES), broken, MOMENT).steps[2].detail
    )


def test_what_a_lead_may_do_is_described_as_in_its_files() -> None:
    assert set(LEAD_RIGHTS) == set(renderer.LEAD_MAY)
    assert set(LEAD_LIMITS) == set(renderer.LEAD_MAY_NOT)


def test_the_permissions_of_a_lead_follow_from_its_board() -> None:
    def describe(rules: set[str], max_agents: int) -> dict[str, list[str]]:
        files = LeadPreview({}, "", rules, max_agents)
        return build_preview_context(OnboardingPreview("Ava", files, True, True))

    strict = describe({"require_approval_for_done", "require_review_before_done"}, 3)
    assert strict["rights"][-1] == "Adds and removes workers, at most 3 at a time."
    assert len(strict["rules"]) == 2
    free = describe(set(), 0)
    assert free["rights"][-1] == "Adds no workers, because the board allows none."
    assert free["rules"] == ["A task can be done without an approval."]
