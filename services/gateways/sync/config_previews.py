"""What saving the form of an agent will change in the configurations of gateways.

It is computed from what is stored here, with the functions that provisioning uses: no gateway is
called, and nothing is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.db.reads import Source
from models import Agent, Board, DesiredState, Gateway, Member
from openclaw import Capability
from services import agents, boards, gateways
from services.agents import AgentCreate, AgentUpdate
from services.gateways import provisioning

PLANNED_FIELDS = ("id", "name", "board_id", "is_board_lead")


@dataclass(frozen=True)
class AgentConfigChange:
    """A change of the configuration of a gateway as a unified diff.

    `adds_entry`, `removes_entry`: the gateway creates or removes the entry of the agent, with the
    workspace.
    """

    gateway: Gateway
    diff: str
    adds_entry: bool
    removes_entry: bool


async def get_editable_agent(source: Source, member: Member, agent_id: UUID) -> Agent:
    """Return an agent that the member may change. Raises NotFound and Forbidden."""
    agent = await agents.get_agent(source, member, agent_id)
    if agent.board_id is not None:
        await boards.get_board_as_admin(source, member, agent.board_id)
    return agent


async def preview_new_agent(
    source: Source, member: Member, board_id: UUID, fields: AgentCreate
) -> Sequence[AgentConfigChange]:
    """Return what creating an agent will change. Raises NotFound and Forbidden."""
    board = await boards.get_board_as_admin(source, member, board_id)
    agent = agents.build_agent(board, fields)
    if not agent.is_board_lead:
        # The id of a worker is chosen when it is created.
        agent.openclaw_session_id = "agent:mc-…:main"
    return await _preview(source, None, agent if agent.gateway_id else None)


async def preview_agent_update(
    source: Source, member: Member, agent: Agent, fields: AgentUpdate
) -> Sequence[AgentConfigChange]:
    """Return what a change of an agent will change. Raises NotFound and Forbidden."""
    values = agents.build_changed_values(agent, fields)
    board = None
    if "board_id" in values:
        board = await boards.get_board_as_admin(source, member, values["board_id"])
    if agent.is_linked or agent.desired_state is DesiredState.GONE:
        return ()
    before = agent if agent.desired_state is DesiredState.RUNNING else None
    return await _preview(source, before, build_changed_agent(agent, values, board))


def build_changed_agent(
    agent: Agent, values: Mapping[str, Any], board: Board | None
) -> Agent | None:
    """Build an agent as it will be, without storing it; None if no gateway will have it.

    `board` is the one to which it moves, if it does.
    """
    fields = {name: getattr(agent, name) for name in PLANNED_FIELDS} | dict(values)
    changed = Agent(**fields)
    if board is None:
        changed.gateway_id, changed.openclaw_session_id = (
            agent.gateway_id,
            agent.openclaw_session_id,
        )
        return changed if agent.desired_state is DesiredState.RUNNING else None
    changed.gateway_id = board.gateway_id
    changed.openclaw_session_id = changed.session_key
    return changed if changed.gateway_id else None


async def _preview(
    source: Source, before: Agent | None, after: Agent | None
) -> list[AgentConfigChange]:
    """Return the changes that are not empty: first where the agent was, then where it will be."""
    known = [agent for agent in (before, after) if agent is not None]
    found = await gateways.load_agent_gateways(source, known)
    changes = []
    for gateway_id in dict.fromkeys(agent.gateway_id for agent in known):
        if gateway_id is not None and gateway_id in found:
            here = (
                one if one and one.gateway_id == gateway_id else None for one in (before, after)
            )
            changes.append(build_config_change(found[gateway_id], *here))
    return [change for change in changes if change.diff]


def build_config_change(
    gateway: Gateway, before: Agent | None, after: Agent | None
) -> AgentConfigChange:
    """Return what the change of an agent changes in the configuration of its gateway.

    None stands for an agent that the gateway does not have.
    """
    # A gateway whose agents are a list in its configuration is one without this capability.
    as_list = Capability.HEARTBEAT_SCRATCH in gateways.list_missing_capabilities(gateway)
    diff = provisioning.plan_agent_change(before, after, as_list=as_list)
    is_replaced = before is None or after is None or before.gateway_key != after.gateway_key
    return AgentConfigChange(
        gateway,
        diff,
        adds_entry=is_replaced and after is not None,
        removes_entry=is_replaced and before is not None,
    )
