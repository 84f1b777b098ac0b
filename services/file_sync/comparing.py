"""What would become of an agent's files, as who writes them will decide it."""

from collections.abc import Sequence
from dataclasses import replace

from models import Agent
from services import agent_files, provisioning
from services.agent_files import Facts, Planned
from services.file_sync.looking import Files

TO_COME = "(another token)"


def compared(
    agent: Agent, facts: Facts, there: Files, *, overwrite: bool = False, rotate: bool = False
) -> Sequence[Planned]:
    """Say what is to become of the files of an agent.

    A token that nobody here can open is taken to be the one that stands there.
    """
    known = facts.token or agent_files.token_in(there[agent_files.SHARED])
    token = TO_COME if rotate or not known else known
    written = provisioning.last_written(agent, there)
    for name in provisioning.MANAGED if overwrite else ():
        written.pop(name, None)
    return agent_files.planned(agent_files.render(replace(facts, token=token)), there, written)
