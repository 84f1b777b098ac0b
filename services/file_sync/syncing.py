"""Giving the agents of a gateway their files anew: looked at first, then asked for.

Nothing is written here. Who holds the gateway does that, step by step, and again where it fails
(services.provisioning); an agent's row says how far that came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import OutsideFailed
from kit.sealing import Seal
from models import Agent, EventType, Gateway, Member
from openclaw import GatewayError, Link, Trouble, advise
from services import agent_files, agents, events, gateways, provisioning
from services.agent_files import Facts
from services.file_sync.choosing import Chosen, Wish, choose
from services.file_sync.comparing import compared
from services.file_sync.looking import Looked
from services.file_sync.reporting import MADE, NOT_ASKED, AgentReport, Mishap, Report, message
from services.gateways import Carrier

HIDDEN = "It names boards that are not yours to read."


@dataclass(frozen=True)
class Prepared:
    """The agents that a sync is about, with what each is to be told."""

    gateway: Gateway
    wish: Wish
    chosen: Chosen
    facts: Mapping[UUID, Facts]

    @property
    def agents(self) -> Sequence[Agent]:
        """Whose files are to be looked at."""
        return self.chosen.agents


async def prepare(
    session: AsyncSession,
    seal: Seal,
    member: Member,
    gateway: Gateway,
    wish: Wish,
    *,
    base_url: str,
) -> Prepared:
    """Find the agents that a sync is about, before the gateway is asked."""
    chosen = await choose(session, member, gateway, wish)
    tokens = await provisioning.known_tokens(session, seal, chosen.agents)
    facts = await agent_files.facts_for(session, chosen.agents, base_url=base_url, tokens=tokens)
    return Prepared(gateway, wish, chosen, facts)


def report(prepared: Prepared, looked: Looked) -> Report:
    """Say what is to be done for whom, now that the gateway has been looked at."""
    chosen = prepared.chosen
    trouble = chosen.trouble or looked.trouble
    if trouble:
        mishap = Mishap(trouble, board_id=prepared.wish.board_id)
        return Report((), chosen.skipped, [mishap], is_stopped=True)
    seen = [agent for agent in chosen.agents if agent.id in looked.there]
    failed = [agent for agent in chosen.agents if agent.id not in looked.there]
    mishaps = [Mishap(looked.troubles[agent.id], agent) for agent in failed]
    told = [_told(prepared, looked, agent) for agent in seen]
    return Report(told, chosen.skipped + len(failed), mishaps)


async def ask(session: AsyncSession, member: Member, prepared: Prepared, told: Report) -> Report:
    """Have done what was reported, and return the report without those who are gone meanwhile.

    A gateway without an agent of its own gets one. Raises NotFound if the gateway is gone.
    """
    if told.is_stopped:
        return told
    wish, here = prepared.wish, Agent.gateway_id == prepared.gateway.id
    made = await _main(session, member, prepared) if prepared.chosen.lacks_main else None
    wanted = here & Agent.id.in_([one.agent.id for one in told.agents])
    over = provisioning.MANAGED if wish.overwrite else ()
    asked = await provisioning.ask(session, wanted, overwrite=over, rotate=wish.rotate_tokens)
    changed = ["files", "token"] if wish.rotate_tokens else ["files"]
    person, updated = member.user, EventType.AGENT_UPDATED
    happened = [
        agents.happened(updated, person, agent.board_id, agent, changed=changed) for agent in asked
    ]
    happened += [agents.happened(EventType.AGENT_CREATED, person, None, made)] if made else []
    await events.record_all(session, happened)
    ids = {agent.id for agent in asked}
    left = [one for one in told.agents if one.agent.id in ids]
    left += [AgentReport(made, (), MADE, is_there=False)] if made else []
    gone = [Mishap(NOT_ASKED, one.agent) for one in told.agents if one.agent.id not in ids]
    return Report(left, told.skipped + len(gone), [*told.mishaps, *gone])


async def reset(carrier: Carrier, prepared: Prepared, told: Report) -> Report:
    """Begin the agents' sessions anew, if that is wanted, and add to the report where it fails.

    Who is not on the gateway yet has none: it would be made for nobody.
    """
    there = [one.agent for one in told.agents if one.is_there]
    if not (prepared.wish.reset_sessions and there):
        return told
    mishaps: list[Mishap] = []
    try:
        async with carrier.link(prepared.gateway) as link:
            for agent in there:
                mishaps += await _reset(link, prepared.gateway, agent)
    except OutsideFailed as error:
        mishaps.append(Mishap(error.message))
    return replace(told, mishaps=[*told.mishaps, *mishaps])


def _told(prepared: Prepared, looked: Looked, agent: Agent) -> AgentReport:
    files = compared(
        agent,
        prepared.facts[agent.id],
        looked.there[agent.id],
        overwrite=prepared.wish.overwrite,
        rotate=prepared.wish.rotate_tokens,
    )
    if agent.board_id is None and not prepared.chosen.sees_all:
        files = [replace(one, diff=HIDDEN if one.diff else "") for one in files]
    is_there = agent.id not in looked.strangers
    return AgentReport(agent, files, message(files, is_there=is_there), is_there)


async def _main(session: AsyncSession, member: Member, prepared: Prepared) -> Agent | None:
    """Make the agent that looks after a gateway, unless somebody was faster."""
    gateway = await gateways.hold(session, member, prepared.gateway.id)
    mains = select(Agent.id).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None))
    if await session.scalar(mains) is not None:
        return None
    return await agents.add_main(session, gateway)


async def _reset(link: Link, gateway: Gateway, agent: Agent) -> list[Mishap]:
    """Begin an agent's session anew."""
    try:
        await link.call("sessions.reset", {"key": agent_files.session_key(agent)}, repeatable=True)
    except GatewayError as error:
        if error.trouble is not Trouble.REJECTED:
            raise
        return [Mishap(advise(error, gateway.url).sentence, agent)]
    return []
