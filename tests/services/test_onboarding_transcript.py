"""Any output of a model is parsed, and never breaks a page."""

import json
from datetime import timedelta
from typing import Any

import pytest

from core.clock import now
from models import OnboardingMessage, OnboardingRole, new_id
from services.onboarding import transcript as onboarding_transcript

AGENT, USER = OnboardingRole.ASSISTANT, OnboardingRole.USER
STARTED = now()
BRIEFING = (USER, "BOARD ONBOARDING REQUEST\n…")
DRAFT = (AGENT, json.dumps({"status": "complete", "board_type": "general"}))


def question(text: str, *options: Any) -> tuple[OnboardingRole, str]:
    return AGENT, json.dumps({"question": text, "options": options})


def make_messages(*lines: tuple[OnboardingRole, str]) -> list[OnboardingMessage]:
    return [
        OnboardingMessage(
            id=new_id(), role=role, content=content, created_at=STARTED + timedelta(minutes=minute)
        )
        for minute, (role, content) in enumerate(lines)
    ]


def parse(*lines: tuple[OnboardingRole, str]) -> onboarding_transcript.Transcript:
    return onboarding_transcript.parse_transcript(make_messages(*lines))


def answers_by_question(
    transcript: onboarding_transcript.Transcript,
) -> list[tuple[str, str | None]]:
    return [(one.question, one.answer) for one in transcript.exchanges]


QUESTION = {"question": "Why?", "options": [{"id": "1", "label": "Fun"}]}
FORMATS = [
    json.dumps(QUESTION),
    json.dumps(json.dumps(QUESTION)),
    f"```json\n{json.dumps(QUESTION)}\n```",
    f"```\n{json.dumps(QUESTION)}```",
    f"Here is my first question:\n\n```json\n{json.dumps(QUESTION)}\n```\n\nThanks!",
    f"Sure. {json.dumps(QUESTION)} There you are.",
    json.dumps({"question": {"text": "Why?"}, "options": ["Fun"]}),
    json.dumps({"message": "Why?", "options": [{"text": "Fun"}]}),
    json.dumps({"status": "asking", "question": " Why? ", "options": {"1": "Fun"}}),
    json.dumps({"question": "Why?", "options": "Fun"}),
    json.dumps({"question": "Why?", "options": ["Fun", "Fun", "", None, [], {}, {"id": "9"}]}),
]


@pytest.mark.parametrize("content", FORMATS)
def test_a_question_is_extracted_from_any_stored_format(content: str) -> None:
    [exchange] = parse(BRIEFING, (AGENT, content)).exchanges
    assert (exchange.question, [one.label for one in exchange.options]) == ("Why?", ["Fun"])


UNPARSEABLE = [
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


@pytest.mark.parametrize("content", UNPARSEABLE, ids=lambda content: content[:20] or "nothing")
def test_unparseable_output_becomes_a_question(content: str) -> None:
    [exchange] = parse(BRIEFING, (AGENT, content)).exchanges
    assert exchange.question == (content.strip() or onboarding_transcript.UNREADABLE_QUESTION)
    assert exchange.options == []


@pytest.mark.parametrize("content", UNPARSEABLE, ids=lambda content: content[:20] or "nothing")
def test_a_conversation_with_unparseable_output_continues(content: str) -> None:
    transcript = parse(
        BRIEFING, question("What?"), (USER, content), (AGENT, content), (USER, "Yes")
    )
    assert [answer for _, answer in answers_by_question(transcript)] == [content, "Yes"]
    assert transcript.next_speaker == "agent"


@pytest.mark.parametrize(
    ("label", "expected"),
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
def test_options_for_free_text_are_recognized(label: str, expected: bool) -> None:
    assert onboarding_transcript.is_free_text(label) is expected


def test_answers_are_assigned_to_their_questions() -> None:
    transcript = parse(
        BRIEFING, question("What?"), (USER, "A site"), question("When?", "Now", "Other")
    )
    assert answers_by_question(transcript) == [("What?", "A site"), ("When?", None)]
    assert transcript.open_question is not None
    assert [one.is_free_text for one in transcript.open_question.options] == [False, True]
    assert (transcript.next_speaker, transcript.waiting_since) == (
        "person",
        STARTED + timedelta(minutes=3),
    )


def test_the_waiting_time_of_the_agent_starts_with_the_last_answer() -> None:
    assert parse(BRIEFING).next_speaker == "agent"
    answered = parse(BRIEFING, question("What?"), (USER, "A site"))
    assert (answered.next_speaker, answered.waiting_since) == (
        "agent",
        STARTED + timedelta(minutes=2),
    )
    assert answered.open_question is None


def test_a_correction_replaces_an_answer_and_keeps_the_open_question() -> None:
    correction = (USER, "Correction to “What?”: A shop: a small one")
    transcript = parse(BRIEFING, question("What?"), (USER, "A site"), question("When?"), correction)
    assert answers_by_question(transcript) == [("What?", "A shop: a small one"), ("When?", None)]
    assert [one.is_corrected for one in transcript.exchanges] == [True, False]
    assert (transcript.next_speaker, transcript.waiting_since) == (
        "person",
        STARTED + timedelta(minutes=3),
    )


def test_after_a_correction_of_a_draft_the_agent_is_next() -> None:
    correction = (USER, "Correction to “What?”: A shop")
    transcript = parse(BRIEFING, question("What?"), (USER, "A site"), DRAFT, correction)
    assert (answers_by_question(transcript), transcript.added) == ([("What?", "A shop")], [])
    assert transcript.next_speaker == "agent"


def test_a_text_that_resembles_a_correction_is_an_answer() -> None:
    text = "Correction to “Where?”: Here"
    assert answers_by_question(parse(BRIEFING, question("What?"), (USER, text))) == [
        ("What?", text)
    ]


def test_context_after_a_draft_is_not_an_answer() -> None:
    transcript = parse(
        BRIEFING, DRAFT, (USER, f"{onboarding_transcript.ADDITIONAL_CONTEXT}: Ask Ann first.")
    )
    assert (transcript.exchanges, transcript.added) == ([], ["Ask Ann first."])
    assert transcript.next_speaker == "agent"


def test_a_repeated_question_is_listed_once() -> None:
    transcript = parse(BRIEFING, question("What?"), question("What?", "A site"))
    assert answers_by_question(transcript) == [("What?", None)]
    assert transcript.open_question is not None
    assert [one.label for one in transcript.open_question.options] == ["A site"]


def test_a_skipped_question_is_not_open() -> None:
    assert answers_by_question(
        parse(BRIEFING, question("What?"), question("When?"), (USER, "Soon"))
    ) == [
        ("What?", None),
        ("When?", "Soon"),
    ]
    assert parse(BRIEFING, question("What?"), DRAFT).open_question is None


def test_in_an_empty_conversation_the_user_is_next() -> None:
    assert (parse().next_speaker, parse().waiting_since) == ("person", None)
