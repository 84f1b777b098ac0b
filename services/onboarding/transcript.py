"""Parse the messages of a conversation into questions with their answers, leniently.

The messages may come from a model that follows no rules, or from an imported installation. The
parser never fails: every message can be shown.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pydantic_core

from models import OnboardingMessage, OnboardingRole

CORRECTION_PREFIX = "Correction to “{question}”: "
ADDITIONAL_CONTEXT = "Additional context"
MAX_OPTIONS = 50
UNREADABLE_QUESTION = "(It sent nothing that can be read.)"

FENCED_BLOCK = re.compile(r"```\w*[ \t]*\n(.*?)```", re.DOTALL)
OUTPUT_KEYS = ("question", "status", "board_type")  # one of them is in every valid object
LABEL_KEYS = ("label", "text", "value", "title", "name")  # names that models use for the label
QUESTION_KEYS = ("question", "text", "message", "content", "prompt")
FREE_TEXT = re.compile(
    r"\b(i['\u2019]ll type|i will type|type it|type my|other|custom|free[ -]?text)\b", re.IGNORECASE
)


def normalize_output(value: object) -> object:
    """Convert the output of a model to a question or a draft, as far as possible."""
    output = extract_object(value) if isinstance(value, str) else value
    if isinstance(output, str):
        return {"question": output}
    if not isinstance(output, Mapping) or is_draft(output):
        return output
    question = question_text(output)
    kept = {name: value for name, value in output.items() if not (question and name == "status")}
    options = options_list(output.get("options"))
    if isinstance(options, list):
        options = [normalize_option(option) for option in options]
    return {**kept, "question": question, "options": options}


def extract_object(text: str) -> Mapping[str, Any] | str:
    """Return the JSON object in a text: alone, in a fenced block, or within other text.

    A text without an object is returned unchanged; a JSON string is returned without its quotes.
    """
    parsed = _parse_json(text)
    if isinstance(parsed, dict):
        return parsed
    if isinstance(parsed, str):
        text = parsed
    parts = FENCED_BLOCK.findall(text)
    first, last = text.find("{"), text.rfind("}")
    if first < last:
        parts.append(text[first : last + 1])
    for part in parts:
        value = _parse_json(part)
        if isinstance(value, dict) and any(name in value for name in OUTPUT_KEYS):
            return value
    return text


def question_text(output: Mapping[str, Any] | str) -> str:
    """Return the text of a question, or "". Models use several names for the field."""
    if isinstance(output, str):
        return output.strip()
    question = output.get("question")
    if isinstance(question, Mapping):
        return question_text(question)
    texts = (output.get(name) for name in QUESTION_KEYS)
    return next((one.strip() for one in texts if isinstance(one, str) and one.strip()), "")


def options_list(value: object) -> object:
    """Return options as a list. The input may also be one text, or an object of texts."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return [{"id": str(id), "label": label} for id, label in value.items()]
    return value


def normalize_option(value: object) -> object:
    """Return an option with `id` and `label`. The input may be a text, or use other names."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return {"id": str(value), "label": str(value)}
    if isinstance(value, Mapping):
        label = next((value[name] for name in LABEL_KEYS if value.get(name)), None)
        return {**value, "label": label, "id": str(value.get("id") or label or "")}
    return value


def is_free_text(label: str) -> bool:
    """Return whether an option with this label asks for a free text."""
    return bool(FREE_TEXT.search(label))


@dataclass(frozen=True)
class AnswerOption:
    """An option of a question. `is_free_text` means that it asks for a text of the user."""

    label: str
    is_free_text: bool


@dataclass(frozen=True)
class Exchange:
    """A question with its current answer; None if it is not answered."""

    id: UUID  # of the message with the question
    question: str
    options: Sequence[AnswerOption]
    answer: str | None = None
    is_corrected: bool = False


@dataclass(frozen=True)
class Transcript:
    """The questions and answers of a conversation, and whose turn it is."""

    exchanges: Sequence[Exchange]
    added: Sequence[str]  # the texts of the user after a draft
    open_question: Exchange | None
    next_speaker: Literal["agent", "person"]
    waiting_since: datetime | None  # None: there are no messages

    @property
    def answered(self) -> Sequence[Exchange]:
        """The answered questions."""
        return [one for one in self.exchanges if one.answer is not None]

    def find_answered(self, id: UUID) -> Exchange | None:
        """Return an answered question by its id."""
        return next((one for one in self.answered if one.id == id), None)


def parse_transcript(messages: Sequence[OnboardingMessage]) -> Transcript:
    """Parse a conversation. If the first message is one of the user, it is the briefing."""
    parser = _TranscriptParser()
    for index, message in enumerate(messages):
        if message.role is OnboardingRole.ASSISTANT:
            parser.add_agent_message(message)
        elif index:
            parser.add_user_message(message)
        else:
            parser.turn = ("agent", message.created_at)
    return parser.transcript()


class _TranscriptParser:
    """Collects the exchanges of a conversation, message by message."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.added: list[str] = []
        self.is_open = False  # whether the last question is open
        self.turn: tuple[Literal["agent", "person"], datetime | None] = ("person", None)

    def add_agent_message(self, message: OnboardingMessage) -> None:
        """Add a question or a draft of the agent."""
        output = extract_object(message.content)
        self.turn = ("person", message.created_at)
        if is_draft(output):
            self.is_open = False
            return
        options = () if isinstance(output, str) else options_list(output.get("options"))
        question = question_text(output) or message.content.strip() or UNREADABLE_QUESTION
        if self.is_open and self.exchanges[-1].question == question:
            self.exchanges.pop()  # the agent repeats its question
        self.exchanges.append(Exchange(message.id, question, _parse_options(options)))
        self.is_open = True

    def add_user_message(self, message: OnboardingMessage) -> None:
        """Add a correction, an answer or an additional text of the user."""
        is_correction = self._apply_correction(message.content)
        if self.is_open and is_correction:
            return
        if self.is_open:
            self.exchanges[-1] = replace(self.exchanges[-1], answer=message.content)
            self.is_open = False
        elif not is_correction:
            self.added.append(message.content.removeprefix(f"{ADDITIONAL_CONTEXT}: "))
        self.turn = ("agent", message.created_at)

    def _apply_correction(self, content: str) -> bool:
        """Replace the answer that a text corrects. Return false if the text is not a correction."""
        for index, exchange in reversed(list(enumerate(self.exchanges))):
            prefix = CORRECTION_PREFIX.format(question=exchange.question)
            if exchange.answer is not None and content.startswith(prefix):
                answer = content.removeprefix(prefix)
                self.exchanges[index] = replace(exchange, answer=answer, is_corrected=True)
                return True
        return False

    def transcript(self) -> Transcript:
        """Return the result."""
        open_question = self.exchanges[-1] if self.is_open else None
        return Transcript(self.exchanges, self.added, open_question, *self.turn)


def _parse_options(value: object) -> Sequence[AnswerOption]:
    """Return the distinct options. Unreadable ones are omitted."""
    labels = []
    for option in map(normalize_option, value if isinstance(value, list) else ()):
        label = option.get("label") if isinstance(option, Mapping) else None
        if isinstance(label, str) and label.strip():
            labels.append(label.strip())
    distinct = list(dict.fromkeys(labels))[:MAX_OPTIONS]
    return [AnswerOption(label, is_free_text(label)) for label in distinct]


def is_draft(output: Mapping[str, Any] | str) -> bool:
    """Return whether an output is a draft, and not a question."""
    return not isinstance(output, str) and output.get("status") == "complete"


def _parse_json(text: str) -> object:
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
