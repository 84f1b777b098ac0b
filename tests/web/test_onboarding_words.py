"""What is said while a board is set up, without a database."""

from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kit.clock import now
from models import Agent, Gateway, Step
from services.onboarding import Option
from tests.services.test_onboarding_transcripts import BRIEFING, PERSON, asks, read
from web.gateway_words import trouble
from web.launching import launch
from web.onboarding_forms import OWN, Answer, taken_apart
from web.onboarding_words import about, brief, drafted_day

NEW_YORK = ZoneInfo("America/New_York")
OPTIONS = [Option("Yes", False), Option("Yes, at once", False), Option("I'll type it", True)]
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
def test_an_answer_fills_in_the_brief_where_it_belongs(question: str, heading: str) -> None:
    assert about(question) == heading


def test_the_brief_holds_all_answers_and_what_is_not_known_yet() -> None:
    said = read(
        BRIEFING,
        asks("What for?"),
        (PERSON, "A site"),
        asks("For whom?"),
        (PERSON, "Partners"),
        asks("How will you know?"),
    )
    known = dict(brief(said, {}, UTC))
    assert known["Objective"] == ["A site"]
    assert known["Also"] == ["Partners"]
    assert known["Measures"] == known["Board lead"] == []


def test_the_brief_of_a_draft_is_the_draft() -> None:
    draft: dict[str, Any] = {
        "objective": "Ten partners",
        "success_metrics": {"Live": 10},
        "target_date": "2027-01-31T00:00:00Z",
        "lead_agent": {"name": "Ava", "autonomy_level": "ask_first", "verbosity": "as Ava likes"},
    }
    known = dict(brief(read(), draft, NEW_YORK))
    assert known["Measures"] == ["Live: 10"]
    assert known["Target date"] == ["31 January 2027"]
    assert known["Board lead"] == ["Ava"]
    assert known["How it works with you"] == ["Asks before it does anything", "as Ava likes"]


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("2027-01-31", date(2027, 1, 31)),
        ("2027-01-31T00:00:00", date(2027, 1, 31)),
        ("2027-02-01T03:00:00Z", date(2027, 1, 31)),
        ("soon", None),
        (7, None),
        (None, None),
    ],
)
def test_a_draft_names_a_day_where_the_person_is(said: object, day: date | None) -> None:
    assert drafted_day(said, NEW_YORK) == day


@pytest.mark.parametrize(
    ("choice", "other", "said"),
    [
        (["Yes"], None, ("Yes", None)),
        (["Yes"], "not counted", ("Yes", None)),
        (["Yes", "I'll type it"], "but", ("Yes", "but")),
        (["I'll type it"], "Mine", ("Mine", None)),
        ([OWN], "Mine", ("Mine", None)),
        (["Yes", OWN], "but", ("Yes", "but")),
        ([], "Mine", ("Mine", None)),
    ],
)
def test_an_answer_is_what_was_ticked_and_what_was_typed(
    choice: list[str], other: str | None, said: tuple[str, str | None]
) -> None:
    assert Answer(question=QUESTION, choice=choice, other=other).said() == said


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
def test_an_answer_is_taken_apart_to_be_changed(answer: str, ticked: list[str], typed: str) -> None:
    assert taken_apart(answer, OPTIONS) == (ticked, typed)


def test_where_no_option_asks_for_words_of_ones_own_the_page_does() -> None:
    assert taken_apart("Mine", OPTIONS[:2]) == ([OWN], "Mine")


MOMENT = now()


def a_gateway(**fields: Any) -> Gateway:
    held = {"held_until": MOMENT + timedelta(seconds=30), "checks": []}
    return Gateway(name="Harbour", **(held | fields))


def a_lead(**fields: Any) -> Agent:
    usual = {"step_attempts": 0, "wake_attempts": 0, "provision_failure": None}
    return Agent(name="Ava", **(usual | fields))


def states(lead: Agent, gateway: Gateway | None = None) -> list[str]:
    return [one.state for one in launch(lead, gateway or a_gateway(), MOMENT).steps]


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        (a_lead(), "done now todo todo todo todo"),
        (a_lead(step=Step.CREATE), "done now todo todo todo todo"),
        (a_lead(step=Step.NAME), "done now todo todo todo todo"),
        (a_lead(step=Step.FILES), "done done now todo todo todo"),
        (a_lead(step=Step.SCRATCH), "done done done now todo todo"),
        (a_lead(step=Step.WAKE), "done done done done now todo"),
        (a_lead(step=Step.CHECK_IN), "done done done done done now"),
        (a_lead(step=Step.REMOVE), "done now"),
        (a_lead(last_seen_at=MOMENT), "done done done done done done"),
        (
            a_lead(step=Step.FILES, provision_failure={"reason": "No room."}),
            "done done fail todo todo todo",
        ),
    ],
)
def test_a_lead_is_followed_step_by_step(lead: Agent, expected: str) -> None:
    assert " ".join(states(lead)) == expected
    assert launch(lead, a_gateway(), MOMENT).is_over is (
        "now" not in expected and "fail" not in expected
    )


def test_a_step_says_what_it_waits_for() -> None:
    woken = MOMENT - timedelta(seconds=12)
    lead = a_lead(
        step=Step.CHECK_IN,
        woken_at=woken,
        wake_attempts=2,
        checkin_deadline_at=woken + timedelta(seconds=30),
    )
    last = launch(lead, a_gateway(), MOMENT).steps[-1]
    assert (last.about, last.aside) == ("Ava was woken twice.", "12 s of 30 s")
    again = launch(a_lead(step=Step.FILES, step_attempts=3), a_gateway(), MOMENT).steps[2]
    assert again.about == "Tried 3 times so far."
    failed = a_lead(step=Step.WAKE, provision_failure={"reason": "No.", "command": "do it"})
    assert launch(failed, a_gateway(), MOMENT).steps[4].command == "do it"


def test_a_gateway_that_is_away_is_named_as_the_reason() -> None:
    broken = a_gateway(checks=[{"name": "port", "state": "failed"}])
    assert trouble(broken, MOMENT) == "Harbour is not connected: nobody answers."
    assert trouble(a_gateway(held_until=None), MOMENT) == "No worker is connected to Harbour."
    assert trouble(a_gateway(), MOMENT) == ""
    assert "It goes on by itself" in launch(a_lead(step=Step.FILES), broken, MOMENT).steps[2].about
