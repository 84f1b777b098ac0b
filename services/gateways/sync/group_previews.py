"""What the heartbeat interval of a board group will change in the configurations of gateways.

Nothing is written. The configurations are read from the gateways, outside of any transaction; where
that fails, the change is compared with what is stored here, as for single agents.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from core.db.reads import Query, Source, choose_columns
from models import Agent, Board, BoardGroup, Gateway, Member
from openclaw import GatewayClient
from openclaw import api as gateway_api
from services import agents, boards, gateways
from services.gateways import GatewaySummary, provisioning
from services.gateways.sync.config_previews import (
    PLANNED_FIELDS,
    build_changed_agent,
    lists_agents,
)

AGENT_COLUMNS = (*PLANNED_FIELDS, "gateway_id", "openclaw_session_id", "desired_state", "is_linked")
"""What is read of agents: without the templates of their files, which can be long."""


@dataclass(frozen=True)
class PlannedAgent:
    """An agent before and after the change, and whether the user may see that it exists."""

    before: Agent
    after: Agent
    is_readable: bool


@dataclass(frozen=True)
class PlannedGateway:
    """A gateway with those of its agents that change."""

    summary: GatewaySummary
    agents: Sequence[PlannedAgent]


@dataclass(frozen=True)
class GroupConfigChange:
    """What changes in the configuration of one gateway.

    `agents` are those whose entries the user may see, `hidden_count` is the number of others,
    which are on boards that the user may not read.
    """

    gateway: Gateway
    agents: Sequence[Agent]
    hidden_count: int
    change: provisioning.ConfigChange

    @property
    def is_empty(self) -> bool:
        """Return whether nothing changes."""
        return not (self.agents or self.hidden_count)

    @property
    def more_count(self) -> int:
        """Return the number of agents whose entries are too many for the difference."""
        return max(0, len(self.agents) - provisioning.MAX_DIFFED_ENTRIES)


async def plan_group_interval(
    source: Source, member: Member, group: BoardGroup, every: str, *, include_board_leads: bool
) -> Sequence[PlannedGateway]:
    """Return the gateways whose agents get another interval, by name.

    The caller has checked that the member may set it. Raises Invalid.
    """
    interval = agents.validate_heartbeat_interval(every)
    query = _build_agents_query()
    rows = await query.fetch(source, group_id=group.id, **boards.access_parameters(member))
    planned: defaultdict[UUID | None, list[PlannedAgent]] = defaultdict(list)
    for agent, is_readable in rows:
        if include_board_leads or not agent.is_board_lead:
            for after in _build_changed(agent, interval):
                planned[agent.gateway_id].append(PlannedAgent(agent, after, is_readable))
    if not planned:
        return ()
    summaries = await gateways.list_gateway_summaries(source, member)
    return [
        PlannedGateway(summary, planned[summary.gateway.id])
        for summary in summaries
        if summary.gateway.id in planned
    ]


async def read_config(gateway: Gateway, client: GatewayClient) -> Mapping[str, Any]:
    """Return the configuration of a gateway. Raises GatewayError."""
    async with provisioning.get_call_semaphore(gateway.id):
        return (await gateway_api.get_config(client, retry=True)).parsed


def preview_group_interval(
    planned: PlannedGateway, config: Mapping[str, Any] | None
) -> GroupConfigChange:
    """Return what changes on a gateway; None stands for a configuration that could not be read."""
    present = _build_stored_config(planned) if config is None else config
    entries = provisioning.build_changed_entries([one.after for one in planned.agents], present)
    changed = [one for one in planned.agents if one.after.gateway_key in entries]
    shown = [one for one in changed if one.is_readable]
    of_shown = provisioning.plan_config_change([one.after for one in shown], present)
    return GroupConfigChange(
        planned.summary.gateway,
        [one.before for one in shown],
        len(changed) - len(shown),
        replace(of_shown, stops_others=provisioning.stops_other_heartbeats(entries, present)),
    )


def _build_stored_config(planned: PlannedGateway) -> Mapping[str, Any]:
    """Build the configuration that provisioning has written, by what is stored here."""
    entries = {
        one.before.gateway_key or "": provisioning.build_provisioned_entry(one.before)
        for one in planned.agents
    }
    as_list = lists_agents(planned.summary.gateway)
    return provisioning.format_entries(entries, as_list=as_list)


@cache
def _build_agents_query() -> Query[tuple[Agent, bool]]:
    query = select(Agent, Board.id.in_(boards.READABLE_BOARD_IDS)).join(
        Board, Board.id == Agent.board_id
    )
    is_in_group = Board.board_group_id == bindparam("group_id")
    in_organization = Board.organization_id == bindparam("organization_id")
    query = query.where(is_in_group, in_organization).order_by(Agent.name, Agent.id)
    return Query(choose_columns(query, {Agent: AGENT_COLUMNS}))


def _build_changed(agent: Agent, interval: str) -> list[Agent]:
    """Build an agent with another interval, if a gateway has it and its interval changes."""
    config = agents.build_heartbeat_config(agent, interval)
    if agent.is_linked or agent.gateway_id is None or config == agent.heartbeat_config:
        return []
    after = build_changed_agent(agent, {"heartbeat_config": config}, None)
    return [] if after is None else [after]
