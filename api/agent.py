"""What agents ask that people do not (contract, agents-and-gateways 6)."""

from uuid import UUID

from pydantic import Field

from api.agents import AgentRead
from api.boards import BoardRead
from api.fields import Answer, Paged
from api.operations import Call, may_answer
from api.tasks import TagRef
from kit.paging import Page
from models import Board
from services import agents, boards, tags


class AgentHealth(Answer):
    """The caller's token works, and this is whose it is."""

    ok: bool = True
    agent_id: UUID
    board_id: UUID | None
    gateway_id: UUID | None
    status: str
    is_board_lead: bool


class AgentsBesides(Paged):
    """Which agents to list."""

    board_id: UUID | None = Field(default=None, description="Other boards than one's own: 403.")


async def agent_healthz(call: Call) -> AgentHealth:
    """Say whether the token works, and to whom it belongs."""
    me = call.agent
    return AgentHealth(
        agent_id=me.id,
        board_id=me.board_id,
        gateway_id=me.gateway_id,
        status=me.status,
        is_board_lead=me.is_board_lead,
    )


async def agent_heartbeat(call: Call) -> AgentRead:
    """Check in. No body is read."""
    seen = await agents.heartbeat(call.session, call.agent, offline_after=call.offline_after)
    return AgentRead.of(seen, call)


async def list_boards(call: Call, query: Paged) -> Page[BoardRead]:
    """List the boards on which the calling agent works, newest first."""
    found = await boards.listed_for_agent(call.session, call.agent, query.paging)
    return found.map(BoardRead.model_validate)


@may_answer(403, 404)
async def list_agents(call: Call, query: AgentsBesides) -> Page[AgentRead]:
    """List the agents of the calling agent's board, newest first."""
    found = await agents.for_agent(call.session, call.agent, query.paging, board_id=query.board_id)
    return found.map(lambda agent: AgentRead.of(agent, call))


async def list_tags(call: Call, board: Board) -> list[TagRef]:
    """List the tags of the board's organization, by name."""
    found = await tags.of_board(call.session, board)
    return [TagRef.model_validate(tag) for tag in found]
