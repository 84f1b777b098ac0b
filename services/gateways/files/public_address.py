"""The public address of the installation, which the files of agents contain.

The first start stores it, and only `./run address` changes it: a process with another BASE_URL must
not write its own address into files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import Agent, Gateway, Organization, PublicAddress
from services import desired_state
from services.gateways.files.merge_plan import SHARED_FILE
from services.gateways.files.renderer import FILE_NAMES

ADDRESS_ID = UUID(int=0)  # of the only row
STORED_ADDRESS: Query[str] = Query(
    select(PublicAddress.base_url).where(PublicAddress.id == ADDRESS_ID), itemgetter(0)
)


@dataclass(frozen=True)
class RewrittenFiles:
    """The files of an agent on a gateway that contain the address and are kept up to date."""

    organization: str
    gateway: str
    agent: str
    names: Sequence[str]


async def find_public_address(source: Source) -> str | None:
    """Return the stored address; None if no process has stored one yet."""
    return await STORED_ADDRESS.first(source)


async def store_first_address(session: AsyncSession, address: str) -> str:
    """Store an address unless there is one, and return the stored one.

    Of several processes that start at the same time, the first one decides.
    """
    values = {"id": ADDRESS_ID, "base_url": address, "updated_at": now()}
    await session.execute(insert(PublicAddress).values(values).on_conflict_do_nothing())
    return await find_public_address(session) or address


async def list_rewritten_files(session: AsyncSession) -> Sequence[RewrittenFiles]:
    """Return the files that another address would change, by organization, gateway and agent."""
    query = (
        select(Organization.name, Gateway.name, Agent)
        .join(Gateway, Gateway.id == Agent.gateway_id)
        .join(Organization, Organization.id == Agent.organization_id)
        .where(desired_state.IS_RUNNING)
        .order_by(Organization.name, Organization.id, Gateway.name, Agent.name, Agent.id)
    )
    found = []
    for organization, gateway, agent in await session.execute(query):
        kept = set(agent.provisioning_state.kept_files) - {SHARED_FILE}  # our part of it is written
        names = [name for name in FILE_NAMES if name not in kept]
        found.append(RewrittenFiles(organization, gateway, agent.name, names))
    return found


async def count_agents_with_own_files(session: AsyncSession) -> int:
    """Return the number of agents that people have given the address: without one of our files."""
    has_own = Agent.desired_state.is_(None)
    return await session.scalar(select(func.count()).select_from(Agent).where(has_own)) or 0


async def change_public_address(session: AsyncSession, address: str) -> None:
    """Store another address, and request that the files of all agents are written with it."""
    values = {"base_url": address, "updated_at": now()}
    statement = insert(PublicAddress).values(id=ADDRESS_ID, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    await desired_state.request_sync(session, desired_state.IS_RUNNING)
