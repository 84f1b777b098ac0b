"""Files that only the original writes, with its address and the token of the agent.

Mission Control has both in AGENTS.md. The files of an imported agent would contradict it, so they
are replaced with the others. Current gateways do not have them.
"""

from collections.abc import Sequence

from models import Agent

FORMER_FILES = {
    "TOOLS.md": "# TOOLS.md\n\nThe address of Mission Control and the token are in AGENTS.md.\n",
    "BOOTSTRAP.md": "# BOOTSTRAP.md\n\nNothing is to be done: AGENTS.md says how you work.\n",
}
"""The contents that replace those of the original, by file name."""

ADDRESS_LABEL = "BASE_URL"  # in each of the files, as the original writes it


def list_read_files(agent: Agent, names: Sequence[str]) -> Sequence[str]:
    """Return the names of the files to read of an agent: the usual ones, and former ones."""
    return [*names, *FORMER_FILES] if agent.provisioning_state.is_imported else names


def is_replaced(name: str, present: str | None) -> bool:
    """Return whether a former file is to be replaced: it is there, as the original writes it."""
    return name in FORMER_FILES and ADDRESS_LABEL in (present or "")
