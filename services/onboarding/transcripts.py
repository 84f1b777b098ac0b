"""What was said in a conversation, as questions with their answers. Pure, and never at a loss.

What is kept may come from anywhere: from a model that follows no rule, or from an installation
that somebody moved in with. Whatever it is, it can be shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from models import OnboardingMessage, OnboardingRole
from services.onboarding import understanding

CORRECTION = "Correction to “{question}”: "
CONTEXT = "Additional context"
MOST_OPTIONS = 50
SILENCE = "(It sent nothing that can be read.)"


@dataclass(frozen=True)
class Option:
    """Something that can be chosen; `is_typed` asks for words of one's own."""

    label: str
    is_typed: bool


@dataclass(frozen=True)
class Exchange:
    """A question, and its answer as it stands: None as long as there is none."""

    id: UUID  # of the message that asks
    question: str
    options: Sequence[Option]
    answer: str | None = None
    is_corrected: bool = False


@dataclass(frozen=True)
class Transcript:
    """All that was asked and answered, and who is to speak next, since when."""

    exchanges: Sequence[Exchange]
    added: Sequence[str]  # what the person said after a draft
    open: Exchange | None  # the question that waits for an answer
    next: Literal["agent", "person"]
    since: datetime | None  # None: nobody has said anything

    @property
    def answered(self) -> Sequence[Exchange]:
        """What was asked and answered."""
        return [one for one in self.exchanges if one.answer is not None]

    def answered_one(self, id: UUID) -> Exchange | None:
        """Return an answered question."""
        return next((one for one in self.answered if one.id == id), None)


def read(messages: Sequence[OnboardingMessage]) -> Transcript:
    """Read a conversation. What opens it, if a person's message does, is the briefing."""
    reader = _Reader()
    for place, message in enumerate(messages):
        if message.role is OnboardingRole.ASSISTANT:
            reader.heard(message)
        elif place:
            reader.told(message)
        else:
            reader.turn = ("agent", message.created_at)
    return reader.transcript()


def correction(question: str, answer: str) -> str:
    """Return what is said to change an answer that was given before."""
    return CORRECTION.format(question=question) + answer


class _Reader:
    """Goes through a conversation from its beginning."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.added: list[str] = []
        self.is_open = False  # whether the last question waits
        self.turn: tuple[Literal["agent", "person"], datetime | None] = ("person", None)

    def heard(self, message: OnboardingMessage) -> None:
        """Hear the agent: it asks, or it sends a draft."""
        said = understanding.unwrapped(message.content)
        self.turn = ("person", message.created_at)
        if understanding.is_draft(said):
            self.is_open = False
            return
        given = () if isinstance(said, str) else understanding.options(said.get("options"))
        words = understanding.question(said) or message.content.strip() or SILENCE
        asked = Exchange(message.id, words, _options(given))
        if self.is_open and self.exchanges[-1].question == words:
            self.exchanges.pop()  # it asks once more
        self.exchanges.append(asked)
        self.is_open = True

    def told(self, message: OnboardingMessage) -> None:
        """Hear the person: they correct an answer, answer, or add something."""
        corrects = self._corrects(message.content)
        if self.is_open and corrects:
            return
        if self.is_open:
            self.exchanges[-1] = replace(self.exchanges[-1], answer=message.content)
            self.is_open = False
        elif not corrects:
            self.added.append(message.content.removeprefix(f"{CONTEXT}: "))
        self.turn = ("agent", message.created_at)

    def _corrects(self, content: str) -> bool:
        """Change the answer that a text corrects, if it corrects one."""
        for place, one in reversed(list(enumerate(self.exchanges))):
            head = CORRECTION.format(question=one.question)
            if one.answer is not None and content.startswith(head):
                answer = content.removeprefix(head)
                self.exchanges[place] = replace(one, answer=answer, is_corrected=True)
                return True
        return False

    def transcript(self) -> Transcript:
        """Return all that was heard."""
        waits = self.exchanges[-1] if self.is_open else None
        return Transcript(self.exchanges, self.added, waits, *self.turn)


def _options(given: object) -> Sequence[Option]:
    """Return what can be chosen, each once; what cannot be read is left out."""
    labels = [understanding.label(one) for one in given] if isinstance(given, list) else []
    known = list(dict.fromkeys(filter(None, labels)))[:MOST_OPTIONS]
    return [Option(label, understanding.is_typed(label)) for label in known]
