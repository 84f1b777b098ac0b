"""What is brought to agents on gateways: their files, and how they begin and go on."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent
from services.agent_files.facts import Facts
from services.agent_files.keeping import planned
from services.agent_files.loading import facts_for
from services.agent_files.rendering import first_message, render, scratch
from services.provisioning import Library, Papers, Write


def library(base_url: str) -> Library:
    """Return what finds the papers of agents, which are told to call us at an address."""

    async def find(
        session: AsyncSession, agents: Sequence[Agent], tokens: Mapping[UUID, str]
    ) -> Mapping[UUID, Write]:
        found = await facts_for(session, agents, base_url=base_url, tokens=tokens)
        return {id: partial(papers, facts) for id, facts in found.items()}

    return find


def papers(facts: Facts) -> Papers:
    """Write all that one agent is given to read."""
    ours = render(facts)
    return Papers(
        workspace=facts.workspace,
        files=tuple(ours),
        plan=partial(planned, ours),
        scratch=scratch(facts),
        first_message=first_message(facts),
    )
