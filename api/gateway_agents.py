"""The agents of a gateway: which it has, and linking those that others made, as JSON."""

from uuid import UUID

from pydantic import Field

from api.agents import AgentCreated, agent_fields
from api.fields import Answer, Body, Name
from api.gateways import carrier_of, knock
from api.operations import Call, between_transactions, may_answer
from models import Gateway, Member
from services import gateways
from services.gateways import Owner, Resident


class GatewayAgent(Answer):
    """An agent that a gateway has now."""

    id: str = Field(description="What it is called on the gateway.")
    name: str
    emoji: str | None
    workspace: str | None = Field(description="Its folder on the gateway's machine.")
    made_here: bool = Field(description="A Mission Control made it, this one or another.")
    can_be_linked: bool
    agent_id: UUID | None = Field(
        description="The agent that it is here; null if it is none, or of a board not to be read."
    )
    is_linked: bool

    @classmethod
    def of(cls, there: Resident, owner: Owner | None) -> "GatewayAgent":
        """Make one of what the gateway tells, and of what we know of it."""
        return cls(
            id=there.id,
            name=there.name,
            emoji=there.emoji,
            workspace=there.workspace,
            made_here=there.is_made_here,
            can_be_linked=owner is None and not there.is_made_here,
            agent_id=owner.agent.id if owner and owner.can_read else None,
            is_linked=owner is not None and owner.agent.is_linked,
        )


class GatewayAgents(Answer):
    """The agents that a gateway has, in its own order."""

    agents: list[GatewayAgent]


class GatewayAgentLink(Body):
    """Which agent of a gateway is to be linked, to which board, and as what."""

    example = {
        "gateway_agent_id": "main",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "is_board_lead": False,
    }

    gateway_agent_id: Name = Field(description="What the agent is called on the gateway.")
    board_id: UUID
    is_board_lead: bool = Field(default=False, description="A board has one lead.")
    name: Name | None = Field(default=None, description="Left out: as the gateway calls it.")


@may_answer(409, 429, 502)
@between_transactions
async def list_gateway_agents(call: Call, member: Member, gateway: Gateway) -> GatewayAgents:
    """List the agents that a gateway has now, and which of them are agents here."""
    async with call.transaction() as session:
        owners = await gateways.owners(session, call.user, gateway)
    there = await _residents(call, gateway)
    return GatewayAgents(agents=[GatewayAgent.of(one, owners.get(one.id)) for one in there])


@may_answer(409, 429, 502)
@between_transactions
async def link_gateway_agent(
    call: Call, member: Member, gateway: Gateway, body: GatewayAgentLink
) -> AgentCreated:
    """Link an agent that others made on a gateway, and return its token this once.

    On the gateway nothing is written, then or later. `DELETE /agents/{agent_id}` unlinks it.
    """
    async with call.transaction() as session:
        await gateways.check_board(session, member, gateway, body.board_id)
    there = await _residents(call, gateway)
    async with call.transaction() as session:
        draft = gateways.LinkDraft(**dict(body))
        linked, token = await gateways.link_agent(session, member, gateway, there, draft)
        return AgentCreated(**agent_fields(linked, call), token=token)


async def _residents(call: Call, gateway: Gateway) -> list[Resident]:
    knock(call, gateway.organization_id)
    async with carrier_of(call).link(gateway) as link:
        return list(await gateways.residents(link))
