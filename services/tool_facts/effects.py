"""What a call does, collected while its input is read."""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from models import CodingClient, ToolAction
from services.tool_facts.facts import Command, ToolFacts
from services.tool_facts.paths import (
    HARMLESS_DEVICES,
    HOME,
    PathFacts,
    contains_client_config,
    find_project,
    read_path,
)

MAX_FOLDERS = 4  # in which a command may be executed
MAX_PATHS = 100
MAX_STEPS = 40  # of the parser: about 20 ms
MAX_NODES = 2_000  # of its trees
UNKNOWN_HOST = "?"
NUMBER = r"[-+]?[0-9]*"


@dataclass
class Part:
    """What a part of a call does."""

    actions: set[ToolAction] = field(default_factory=set)
    uses_files: bool = False


class Effects:
    """The commands, actions, paths, hosts and doubts about a call.

    `folders` are those in which a command may be executed after `cd`; empty: it is not known.
    `is_moved`: one of them is not the folder of the project.
    """

    def __init__(self, cwd: str | None) -> None:
        self.project = find_project(cwd)
        self.folder = cwd
        self.folders: tuple[str, ...] = (cwd,) if cwd else ()
        self.is_moved = False
        self.steps_left = MAX_STEPS
        self.nodes_left = MAX_NODES
        self.has_variables = False  # whether the call gives values to variables
        self.has_names_as_numbers = False  # whether a number can be the name of a variable
        self.commands: list[Command] = []
        self.doubts: dict[str, None] = {}
        self._all = Part()
        self._parts = [self._all]
        self._paths: dict[str, None] = {}
        self._hosts: dict[str, None] = {}

    def build_facts(self, client: CodingClient, tool: str) -> ToolFacts:
        """Return the facts about the call."""
        if self.has_variables and self.has_names_as_numbers:
            self.doubt("variable")
        return ToolFacts(
            client=client,
            tool=tool,
            actions=frozenset(self._all.actions),
            commands=tuple(self.commands),
            paths=tuple(self._paths),
            hosts=tuple(self._hosts),
            doubt=next(iter(self.doubts), None),
        )

    @contextmanager
    def own_part(self) -> Generator[Part]:
        """Collect what is added in a block in a part of its own, too."""
        part = Part()
        self._parts.append(part)
        try:
            yield part
        finally:
            self._parts.pop()

    def doubt(self, code: str) -> None:
        """Record that the call may do more."""
        self.doubts.setdefault(code)

    def act(self, *actions: ToolAction) -> None:
        """Record actions."""
        for part in self._parts:
            part.actions.update(actions)

    def add(self, command: Command) -> None:
        """Record a command."""
        self.act(*command.actions)
        self.commands.append(command)

    def redirect_commands(self, first: int, part: Part) -> None:
        """Mark the commands from a position as redirected, if the part uses files."""
        if part.uses_files:
            self.commands[first:] = [
                replace(one, is_redirected=True, actions=one.actions | part.actions)
                for one in self.commands[first:]
            ]

    def read(self, path: str, *, is_listed: bool = False) -> None:
        """Record that a path is read, or that only names and lengths of files are."""
        for facts in self._find(path):
            self.act(ToolAction.READ if facts.is_inside else ToolAction.READ_OUTSIDE)
            if facts.is_secret and not is_listed:
                self.act(ToolAction.READ_SECRET)

    def write(self, path: str) -> None:
        """Record that a path is written."""
        for facts in self._find(path):
            self.act(ToolAction.WRITE_INSIDE if facts.is_inside else ToolAction.WRITE_OUTSIDE)
            if facts.is_client_config:
                self.act(ToolAction.WRITE_CLIENT_CONFIG)
            if facts.is_git:
                self.act(ToolAction.WRITE_GIT)

    def delete(self, path: str) -> None:
        """Record that a path is deleted."""
        self.act(ToolAction.DELETE)
        self.write_tree(path)

    def write_tree(self, path: str) -> None:
        """Record that a path is written with all that is in it, as when a folder is moved."""
        self.write(path)
        if any(contains_client_config(one, self.project) for one in self._find(path)):
            self.act(ToolAction.WRITE_CLIENT_CONFIG)

    def is_project(self, path: str) -> bool:
        """Return whether a path is the folder of the project, if no folder was changed before."""
        return read_path(path, self.folder, self.project).text == "."

    def contains_project(self, path: str) -> bool:
        """Return whether a path may lead to a folder with the whole project, or the home folder."""
        roots = (".", HOME, "/")
        return path.strip("./") == "" or any(one.text in roots for one in self._find(path))

    def connect(self, host: str | None = None) -> None:
        """Record that a host is called; None: it is not known which."""
        self.act(ToolAction.NETWORK)
        self._hosts.setdefault(host or UNKNOWN_HOST)

    def change_folder(self, path: str) -> None:
        """Record that the commands after this one may be executed in another folder."""
        facts = self._find(path)
        self.act(*(ToolAction.READ if one.is_inside else ToolAction.READ_OUTSIDE for one in facts))
        self.is_moved |= not self.is_project(path)
        is_known = self.project is not None and all(one.is_inside for one in facts)
        if not is_known or len(self.folders) + len(facts) > MAX_FOLDERS:
            self.folders = ()
        elif self.project is not None:
            found = (
                self.project if one.text == "." else f"{self.project}/{one.text}" for one in facts
            )
            self.folders = tuple(dict.fromkeys((*self.folders, *found)))

    def check_test(self, text: str | None) -> None:
        """Record a doubt about an operand of a test if it is not a written word.

        Shells evaluate some operands as arithmetic, also commands in them: `a[$(command)]`. Other
        operands can be files.
        """
        if text is None:
            self.doubt("variable")
        elif re.search(r"[$`(]", text):
            self.doubt("syntax")
        elif "/" in text:
            self.read(text, is_listed=True)

    def doubt_unless_number(self, text: str | None) -> None:
        """Record a doubt about an operand that must be a number.

        It is arithmetic in zsh: a word in it is a variable, whose value is arithmetic again.
        """
        if text is None or not re.fullmatch(NUMBER, text):
            self.doubt("variable")

    def check_code(self, words: Iterable[str]) -> None:
        """Record that code changes the configuration of a client if one of its words names it."""
        for word in words:
            facts = read_path(word.partition(":")[0], self.folder, self.project)
            if facts.is_client_config:
                self.act(ToolAction.WRITE_CLIENT_CONFIG)

    def _find(self, path: str) -> list[PathFacts]:
        """Return the facts about a path, from each folder in which it may be used."""
        if path in HARMLESS_DEVICES:
            return []
        if path.startswith(("/dev/tcp/", "/dev/udp/")):
            self.connect(path.split("/")[3] or None)
        if len(self._paths) >= MAX_PATHS:
            self.doubt("too_complex")
            return []
        found = [read_path(path, folder, self.project) for folder in self.folders or (None,)]
        for one in found:
            self._paths.setdefault(one.text)
        for part in self._parts:
            part.uses_files = True
        return found
