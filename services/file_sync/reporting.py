"""What is told of a sync: of each agent, and of whatever is in the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models import Agent
from services.agent_files import FileState, Planned

NOT_THERE = "The gateway does not have this agent yet: it is made first."
MADE = "The gateway had no agent of its own: it is made, and comes with its files."
NOT_ASKED = "It was changed or removed meanwhile, so it was left out."


@dataclass(frozen=True)
class AgentReport:
    """What is to become of the files of one agent."""

    agent: Agent
    files: Sequence[Planned]
    message: str
    is_there: bool = True  # whether the gateway has it already


@dataclass(frozen=True)
class Mishap:
    """Something that was in the way: of one agent, or of all."""

    message: str
    agent: Agent | None = None
    board_id: UUID | None = None  # where it is about no agent


@dataclass(frozen=True)
class Report:
    """What is, or would be, done for whom."""

    agents: Sequence[AgentReport] = ()
    skipped: int = 0
    mishaps: Sequence[Mishap] = ()
    is_stopped: bool = False  # nothing is done for anybody

    @property
    def updated(self) -> int:
        """How many agents of boards are given their files."""
        return sum(one.agent.board_id is not None for one in self.agents)

    @property
    def main_updated(self) -> bool:
        """Whether the agent that looks after the gateway is."""
        return any(one.agent.board_id is None for one in self.agents)


def message(files: Sequence[Planned], *, is_there: bool) -> str:
    """Say in a sentence or two what is to be written, and what is kept."""
    written = sum(one.state.is_written for one in files)
    kept = [one.name for one in files if one.state is FileState.KEPT]
    said = [] if is_there else [NOT_THERE]
    said.append(f"{written} of {len(files)} files to write." if written else "Nothing to write.")
    if kept:
        said.append(f"The agent has made its own of {' and '.join(kept)}: kept.")
    return " ".join(said)
