"""What a gateway has of the files of its agents. It is read, and nothing is changed there.

No transaction is open meanwhile: a gateway may take its time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kit.errors import OutsideFailed
from models import Agent, Gateway
from openclaw import GatewayError, Link, Trouble, advise
from services.agent_files import NAMES
from services.gateways import Carrier

LONGEST_LOOK = 60.0  # seconds for all of them
LONGEST_FILE = 1_000_000  # characters that are kept of one: so long it is the agent's own anyway

OF_ONE = frozenset({Trouble.REJECTED, Trouble.MALFORMED, Trouble.TOO_LARGE})
"""What goes wrong with one agent alone; all else is the gateway's, and ends the look."""

TOO_LATE = "The gateway took too long to tell what it has of this agent. Try again for its board."

Files = Mapping[str, str | None]


@dataclass
class Looked:
    """The files of each agent by their names, None for one that is not there."""

    there: dict[UUID, Files] = field(default_factory=dict)
    strangers: set[UUID] = field(default_factory=set)  # agents that the gateway does not have yet
    troubles: dict[UUID, str] = field(default_factory=dict)  # why one could not be looked at
    trouble: str | None = None  # why the gateway could not be


async def look(carrier: Carrier, gateway: Gateway, agents: Sequence[Agent]) -> Looked:
    """Read the files of these agents. What is in the way is told in the answer."""
    looked = Looked()
    if not agents:
        return looked
    try:
        async with carrier.link(gateway) as link, asyncio.timeout(LONGEST_LOOK):
            await _look(link, gateway, agents, looked)
    except OutsideFailed as error:
        return Looked(trouble=error.message)
    except TimeoutError:
        late = [agent.id for agent in agents if agent.id not in looked.there | looked.troubles]
        looked.troubles |= dict.fromkeys(late, TOO_LATE)
    return looked


async def _look(link: Link, gateway: Gateway, agents: Sequence[Agent], looked: Looked) -> None:
    known = _ids(await link.call("agents.list", {}, repeatable=True))
    for agent in agents:
        if agent.gateway_key not in known:
            looked.strangers.add(agent.id)
            looked.there[agent.id] = dict.fromkeys(NAMES)
            continue
        try:
            looked.there[agent.id] = await _files(link, agent.gateway_key)
        except GatewayError as error:
            if error.trouble not in OF_ONE:
                raise
            looked.troubles[agent.id] = advise(error, gateway.url).sentence


async def _files(link: Link, key: str) -> Files:
    """Read the files of one agent, side by side. Raises the first GatewayError of them."""
    found = await asyncio.gather(
        *[_file(link, key, name) for name in NAMES], return_exceptions=True
    )
    files: dict[str, str | None] = {}
    for name, one in zip(NAMES, found, strict=True):
        if isinstance(one, BaseException):
            raise one
        files[name] = one
    return files


async def _file(link: Link, key: str, name: str) -> str | None:
    params = {"agentId": key, "name": name}
    said = await link.call("agents.files.get", params, repeatable=True)
    about = said.get("file") if isinstance(said, dict) else None
    content = about.get("content") if isinstance(about, dict) else None
    return content[:LONGEST_FILE] if isinstance(content, str) else None


def _ids(said: Any) -> set[str]:
    rows = said.get("agents") if isinstance(said, dict) else None
    return {str(row.get("id")) for row in rows or () if isinstance(row, dict)}
