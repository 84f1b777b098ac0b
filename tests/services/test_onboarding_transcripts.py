"""What a model may say, and how it is understood: nothing of it breaks a page."""

import json
from datetime import timedelta
from typing import Any

import pytest

from kit.clock import now
from models import OnboardingMessage, OnboardingRole, new_id
from services.onboarding import transcripts, understanding

AGENT, PERSON = OnboardingRole.ASSISTANT, OnboardingRole.USER
STARTED = now()
BRIEFING = (PERSON, "BOARD ONBOARDING REQUEST\n…")
DRAFT = (AGENT, json.dumps({"status": "complete", "board_type": "general"}))


def asks(words: str, *options: Any) -> tuple[OnboardingRole, str]:
    return AGENT, json.dumps({"question": words, "options": options})


def said(*lines: tuple[OnboardingRole, str]) -> list[OnboardingMessage]:
    return [
        OnboardingMessage(
            id=new_id(), role=role, content=content, created_at=STARTED + timedelta(minutes=place)
        )
        for place, (role, content) in enumerate(lines)
    ]


def read(*lines: tuple[OnboardingRole, str]) -> transcripts.Transcript:
    return transcripts.read(said(*lines))


def pairs(transcript: transcripts.Transcript) -> list[tuple[str, str | None]]:
    return [(one.question, one.answer) for one in transcript.exchanges]


WHY = {"question": "Why?", "options": [{"id": "1", "label": "Fun"}]}
SAYS_WHY = [
    json.dumps(WHY),
    json.dumps(json.dumps(WHY)),
    f"```json\n{json.dumps(WHY)}\n```",
    f"```\n{json.dumps(WHY)}```",
    f"Here is my first question:\n\n```json\n{json.dumps(WHY)}\n```\n\nThanks!",
    f"Sure. {json.dumps(WHY)} There you are.",
    json.dumps({"question": {"text": "Why?"}, "options": ["Fun"]}),
    json.dumps({"message": "Why?", "options": [{"text": "Fun"}]}),
    json.dumps({"status": "asking", "question": " Why? ", "options": {"1": "Fun"}}),
    json.dumps({"question": "Why?", "options": "Fun"}),
    json.dumps({"question": "Why?", "options": ["Fun", "Fun", "", None, [], {}, {"id": "9"}]}),
]


@pytest.mark.parametrize("content", SAYS_WHY)
def test_a_question_is_read_out_of_whatever_it_is_kept_in(content: str) -> None:
    [asked] = read(BRIEFING, (AGENT, content)).exchanges
    assert (asked.question, [one.label for one in asked.options]) == ("Why?", ["Fun"])


NONSENSE = [
    "",
    " ",
    "null",
    "12",
    "true",
    "[]",
    '["Why?"]',
    "{}",
    '{"question": null, "options": 5}',
    '{"question": 7}',
    '{"options": [[[]]]}',
    '{"status": "complete"',
    "```json\nnot json\n```",
    "{{{{",
    "}{",
    '"' * 9,
    "\u2028<script>alert(1)</script>",
    '{"question": NaN}',
    "[" * 5_000,
    "Why {not} ask?",
    "x" * 200_000,
]


@pytest.mark.parametrize("content", NONSENSE, ids=lambda content: content[:20] or "nothing")
def test_nonsense_is_a_question_in_its_own_words(content: str) -> None:
    [asked] = read(BRIEFING, (AGENT, content)).exchanges
    assert asked.question == (content.strip() or transcripts.SILENCE)
    assert asked.options == []


@pytest.mark.parametrize("content", NONSENSE, ids=lambda content: content[:20] or "nothing")
def test_a_conversation_with_nonsense_in_it_goes_on(content: str) -> None:
    transcript = read(BRIEFING, asks("What?"), (PERSON, content), (AGENT, content), (PERSON, "Yes"))
    assert [answer for _, answer in pairs(transcript)] == [content, "Yes"]
    assert transcript.next == "agent"


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ("I'll type it", True),
        ("Something else, I\u2019ll type it", True),
        ("i will type my own", True),
        ("Let me TYPE IT", True),
        ("Other", True),
        ("Custom answer", True),
        ("Free text", True),
        ("free-text", True),
        ("Another way", False),
        ("What customers see", False),
        ("A typed contract", False),
        ("Yes", False),
    ],
)
def test_an_option_that_asks_for_words_of_ones_own_is_known(words: str, typed: bool) -> None:
    assert understanding.is_typed(words) is typed


def test_answers_stand_with_their_questions() -> None:
    transcript = read(BRIEFING, asks("What?"), (PERSON, "A site"), asks("When?", "Now", "Other"))
    assert pairs(transcript) == [("What?", "A site"), ("When?", None)]
    assert transcript.open is not None
    assert [one.is_typed for one in transcript.open.options] == [False, True]
    assert (transcript.next, transcript.since) == ("person", STARTED + timedelta(minutes=3))


def test_the_agent_is_waited_for_since_it_was_told() -> None:
    assert read(BRIEFING).next == "agent"
    answered = read(BRIEFING, asks("What?"), (PERSON, "A site"))
    assert (answered.next, answered.since) == ("agent", STARTED + timedelta(minutes=2))
    assert answered.open is None


def test_a_correction_takes_the_place_of_an_answer_and_leaves_the_open_question_open() -> None:
    correction = (PERSON, transcripts.correction("What?", "A shop: a small one"))
    transcript = read(BRIEFING, asks("What?"), (PERSON, "A site"), asks("When?"), correction)
    assert pairs(transcript) == [("What?", "A shop: a small one"), ("When?", None)]
    assert [one.is_corrected for one in transcript.exchanges] == [True, False]
    assert (transcript.next, transcript.since) == ("person", STARTED + timedelta(minutes=3))


def test_a_correction_after_a_draft_waits_for_another_draft() -> None:
    correction = (PERSON, transcripts.correction("What?", "A shop"))
    transcript = read(BRIEFING, asks("What?"), (PERSON, "A site"), DRAFT, correction)
    assert (pairs(transcript), transcript.added) == ([("What?", "A shop")], [])
    assert transcript.next == "agent"


def test_what_only_looks_like_a_correction_is_an_answer() -> None:
    words = transcripts.correction("Where?", "Here")
    assert pairs(read(BRIEFING, asks("What?"), (PERSON, words))) == [("What?", words)]


def test_context_after_a_draft_is_no_answer() -> None:
    transcript = read(BRIEFING, DRAFT, (PERSON, f"{transcripts.CONTEXT}: Ask Ann first."))
    assert (transcript.exchanges, transcript.added) == ([], ["Ask Ann first."])
    assert transcript.next == "agent"


def test_a_question_that_is_asked_once_more_is_one_question() -> None:
    transcript = read(BRIEFING, asks("What?"), asks("What?", "A site"))
    assert pairs(transcript) == [("What?", None)]
    assert transcript.open is not None
    assert [one.label for one in transcript.open.options] == ["A site"]


def test_a_question_that_was_passed_over_is_not_open() -> None:
    assert pairs(read(BRIEFING, asks("What?"), asks("When?"), (PERSON, "Soon"))) == [
        ("What?", None),
        ("When?", "Soon"),
    ]
    assert read(BRIEFING, asks("What?"), DRAFT).open is None


def test_where_nothing_was_said_a_person_begins() -> None:
    assert (read().next, read().since) == ("person", None)
