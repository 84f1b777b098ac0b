"""Files of agents as the pages show them: origins, differences, and why they cannot be edited."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from models import FileAuthor
from services.agents import FileVersion
from services.gateways import agent_files
from services.gateways.agent_files import AgentFile, AgentFileAccess, FileObstacle
from web.ui.locale_format import format_number
from web.ui.text_comparison import CONTEXT_LINES, Opcode, TextComparison
from web.ui.translation import N_, _, translate

FILE_PURPOSES: Mapping[str, str] = {
    "AGENTS.md": N_("Rules, tools and the token, written by Mission Control. Notes go below."),
    "SOUL.md": N_("The character of the agent."),
    "IDENTITY.md": N_("Its name, role and picture."),
    "USER.md": N_("The person it works for."),
    "MEMORY.md": N_("What the agent keeps in mind."),
}
"""What each file is for."""

OBSTACLE_TEXTS: Mapping[FileObstacle, str] = {
    FileObstacle.LINKED: N_(
        "This agent was created on its gateway by others. Mission Control does not change its"
        " files."
    ),
    FileObstacle.READ_ONLY: N_("You can read the board of this agent, but not change it."),
    FileObstacle.BEING_REMOVED: N_("This agent is being removed from its gateway."),
}
"""Why files cannot be edited."""


@dataclass(frozen=True)
class FileRow:
    """A file with who changed it last, and when, as far as that is known."""

    file: AgentFile
    purpose: str
    author: str
    changed_at: datetime | None

    @classmethod
    def from_file(
        cls, access: AgentFileAccess, file: AgentFile, latest: FileVersion | None
    ) -> "FileRow":
        """Build the row of a file, given its latest stored version."""
        author, at, name = agent_files.find_file_origin(access.agent, file, latest)
        has_gateway = access.gateway is not None
        return cls(
            file,
            translate(FILE_PURPOSES[file.name]),
            describe_author(author, name, has_gateway=has_gateway),
            at,
        )


class ComparedLine(NamedTuple):
    """A line of two texts beside each other: numbers and texts, and whether they differ."""

    left_number: str
    left: str
    right_number: str
    right: str
    differs: bool


def describe_author(author: FileAuthor, user_name: str | None, *, has_gateway: bool) -> str:
    """Return who wrote a version of a file."""
    if author is FileAuthor.USER:
        return user_name or _("A former member")
    if author is FileAuthor.AGENT:
        return _("A lead")
    if author is FileAuthor.SYNC:
        return "Mission Control"
    return _("On the gateway") if has_gateway else _("Not recorded")


def describe_obstacle(access: AgentFileAccess) -> str:
    """Return why the files cannot be edited, or ""."""
    return translate(OBSTACLE_TEXTS[access.obstacle]) if access.obstacle else ""


def describe_model_limit(file_name: str, length: int) -> str:
    """Return a warning if not all of a file reaches the model of the agent, or ""."""
    limit = agent_files.MAX_MODEL_LENGTHS[file_name]
    if length <= limit:
        return ""
    return _(
        "The file has %(length)s characters. OpenClaw passes only %(limit)s to the model.",
        length=format_number(length),
        limit=format_number(limit),
    )


def align_texts(left: str, right: str) -> list[list[ComparedLine]] | None:
    """Return the differing passages of two texts, line by line beside each other.

    Return None if the texts are too long to be compared.
    """
    comparison = TextComparison(left, right)
    if comparison.is_too_long:
        return None
    passages: list[list[ComparedLine]] = [[]]
    for opcode in comparison.opcodes:
        lines, passage = [*_align_lines(comparison.old, comparison.new, opcode)], passages[-1]
        is_short = bool(passage) and len(lines) <= 2 * CONTEXT_LINES
        if opcode[0] != "equal" or is_short:
            passage += lines
            continue
        passage += lines[:CONTEXT_LINES] if passage else []
        passages.append(lines[-CONTEXT_LINES:])
    return [passage for passage in passages if any(line.differs for line in passage)]


def _align_lines(old: Sequence[str], new: Sequence[str], opcode: Opcode) -> Iterator[ComparedLine]:
    kind, left_start, left_end, right_start, right_end = opcode
    for place in range(max(left_end - left_start, right_end - right_start)):
        left, right = left_start + place, right_start + place
        has_left, has_right = left < left_end, right < right_end
        yield ComparedLine(
            str(left + 1) if has_left else "",
            old[left] if has_left else "",
            str(right + 1) if has_right else "",
            new[right] if has_right else "",
            differs=kind != "equal",
        )
