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

NEW_SESSION_KEY = "agent:mc-…:main"  # the id of a worker is chosen when it is created
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


@dataclass(frozen=True)
class AgentChange:
    """An agent before and after it is saved; None where no gateway has it."""

    before: Agent | None
    after: Agent | None

    @property
    def present_agents(self) -> list[Agent]:
        """The agent as its gateways have it, before and after."""
        return [agent for agent in (self.before, self.after) if agent is not None]

    def on_gateway(self, gateway_id: UUID) -> "AgentChange":
        """Return the change as one gateway sees it."""
        before, after = (
            agent if agent and agent.gateway_id == gateway_id else None
            for agent in (self.before, self.after)
        )
        return AgentChange(before, after)


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
        agent.openclaw_session_id = NEW_SESSION_KEY
    return await _preview(source, AgentChange(None, agent if agent.gateway_id else None))


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
    is_present = agent.desired_state is DesiredState.RUNNING
    before = agent if is_present else None
    return await _preview(source, AgentChange(before, build_changed_agent(agent, values, board)))


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


async def _preview(source: Source, change: AgentChange) -> list[AgentConfigChange]:
    """Return the changes that are not empty: first where the agent was, then where it will be."""
    found = await gateways.load_agent_gateways(source, change.present_agents)
    ids = dict.fromkeys(agent.gateway_id for agent in change.present_agents)
    planned = [
        build_config_change(found[id], change.on_gateway(id))
        for id in ids
        if id is not None and id in found
    ]
    return [one for one in planned if one.diff]


def build_config_change(gateway: Gateway, change: AgentChange) -> AgentConfigChange:
    """Return what a change of an agent of this gateway changes in its configuration."""
    before, after = change.before, change.after
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
