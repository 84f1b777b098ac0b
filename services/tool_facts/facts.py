"""What a tool call does, as far as it can be recognized from what the client reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from models import CodingClient, ToolAction
from services.tool_facts.inputs import mask_secrets, mask_words

MAX_STORED_PARTS = 30  # commands, paths or hosts
MAX_STORED_WORDS = 40  # of one command
MAX_STORED_LENGTH = 300  # characters of one word, path or host
PLAIN_READS = frozenset({ToolAction.READ})


@dataclass(frozen=True)
class Command:
    """A program that is executed, with its arguments as the program receives them.

    A program in a folder of the system has its name only, so that `/bin/rm` is `rm`; another path
    stays. `actions` is what this command does on its own.
    """

    words: tuple[str, ...]
    actions: frozenset[ToolAction]
    is_redirected: bool = False  # to or from files, or it gets variables that it may obey
    has_input: bool = False  # a text that it can execute or write, from a here-document
    is_known: bool = True  # whether its arguments are understood; else one can be a program

    @property
    def text(self) -> str:
        """The words as pages show them, separated by spaces."""
        return " ".join(self.words)


@dataclass(frozen=True, kw_only=True)
class ToolFacts:
    """What policies compare: the parts of a call. All of them are reported by the client."""

    client: CodingClient
    tool: str
    actions: frozenset[ToolAction] = frozenset()
    commands: tuple[Command, ...] = ()
    paths: tuple[str, ...] = ()  # inside the project relative to it, others absolute or from ~
    hosts: tuple[str, ...] = ()
    doubt: str | None = None  # a code: why it may do more, so that a person is needed
    is_cut: bool = field(default=False, compare=False)  # read from what is stored, which is less

    @property
    def is_understood(self) -> bool:
        """Whether it does no more than what these facts say."""
        return self.doubt is None

    @property
    def is_plain_read(self) -> bool:
        """Whether it only reads files of the project that usually contain no secrets."""
        return self.is_understood and self.actions <= PLAIN_READS

    @property
    def is_own_tool(self) -> bool:
        """Whether it calls a tool of this product."""
        return ToolAction.OWN_TOOL in self.actions

    @property
    def excerpt(self) -> str:
        """What the call is about: its commands, otherwise its paths and hosts."""
        texts = [one.text for one in self.commands] or [*self.paths, *self.hosts]
        return _shorten(" · ".join(texts[:MAX_STORED_PARTS]))

    def to_json(self) -> dict[str, Any]:
        """Return what is stored: long parts are cut, and secrets masked."""
        kept = replace(
            self,
            tool=self.tool[:MAX_STORED_LENGTH],
            commands=tuple(map(_shorten_command, self.commands[:MAX_STORED_PARTS])),
            paths=tuple(map(_shorten, self.paths[:MAX_STORED_PARTS])),
            hosts=tuple(map(_shorten, self.hosts[:MAX_STORED_PARTS])),
        )
        stored: dict[str, Any] = {
            "client": self.client,
            "tool": kept.tool,
            "actions": sorted(self.actions),
        }
        if kept.commands:
            stored["commands"] = list(map(_store_command, kept.commands))
        if kept.paths:
            stored["paths"] = list(kept.paths)
        if kept.hosts:
            stored["hosts"] = list(kept.hosts)
        if self.doubt is not None:
            stored["doubt"] = self.doubt
        return stored | ({"is_cut": True} if kept != self or self.is_cut else {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ToolFacts":
        """Read the stored JSON."""
        return cls(
            client=CodingClient(stored["client"]),
            tool=stored["tool"],
            actions=frozenset(map(ToolAction, stored["actions"])),
            commands=tuple(map(_read_command, stored.get("commands", ()))),
            paths=tuple(stored.get("paths", ())),
            hosts=tuple(stored.get("hosts", ())),
            doubt=stored.get("doubt"),
            is_cut=stored.get("is_cut", False),
        )


def _store_command(command: Command) -> dict[str, Any]:
    stored: dict[str, Any] = {"words": list(command.words), "actions": sorted(command.actions)}
    if command.is_redirected:
        stored["is_redirected"] = True
    if command.has_input:
        stored["has_input"] = True
    if not command.is_known:
        stored["is_known"] = False
    return stored


def _read_command(stored: Mapping[str, Any]) -> Command:
    return Command(
        words=tuple(stored["words"]),
        actions=frozenset(map(ToolAction, stored["actions"])),
        is_redirected=stored.get("is_redirected", False),
        has_input=stored.get("has_input", False),
        is_known=stored.get("is_known", True),
    )


def _shorten_command(command: Command) -> Command:
    words = mask_words(word[: 2 * MAX_STORED_LENGTH] for word in command.words[:MAX_STORED_WORDS])
    return replace(command, words=tuple(word[:MAX_STORED_LENGTH] for word in words))


def _shorten(text: str) -> str:
    return mask_secrets(text[: 2 * MAX_STORED_LENGTH])[:MAX_STORED_LENGTH]
