"""Which agents come, change, and are there, told as it happens (contract, agents 7.8)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import Field
from starlette.responses import Response

from api.agents import AgentRead
from api.fields import Answer, Following
from api.frames import Writer, frame
from api.operations import Call, may_answer
from api.streams import Channel, Rights, boards_read, follow, member_still
from kit.http import Session
from models import Agent, Event, EventType, Member
from services import agents, organizations

OF_AGENTS = frozenset(
    {
        EventType.AGENT_CREATED,
        EventType.AGENT_UPDATED,
        EventType.AGENT_DELETED,
        EventType.AGENT_STATUS_CHANGED,
    }
)


class AgentStreamQuery(Following):
    """Which agents to follow."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")


class AgentMessage(Answer):
    """What the stream tells: the agent as it is now."""

    agent: AgentRead


class AgentGone(Answer):
    """What the stream tells of an agent that was deleted."""

    agent_id: UUID


@may_answer(404)
async def stream_agents(call: Call, member: Member, query: AgentStreamQuery) -> Response:
    """Follow the agents of the boards that one may read, and of gateways: who comes, and is there.

    Each message is an event `agent` with `agent`. An agent that was deleted is told by an event
    `agent.deleted` with `agent_id`.
    """
    organization_id = member.organization_id

    async def look(session: Session) -> Rights:
        still = await member_still(session, call.user, organization_id)
        organizations.require_admin(still)
        read = await boards_read(session, still, query.board_id)
        return read if query.board_id else read | {None}  # a gateway's agent is on no board

    channel = Channel("agent", OF_AGENTS, _agents_of(call, organization_id))
    return await follow(call, channel, organization_id, query, look)


def _agents_of(call: Call, organization_id: UUID) -> Writer:
    async def write(session: Session, heard: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.agent_id for event in heard if event.agent_id}
        found = await agents.several(session, organization_id, ids)
        return {event.seq: _told(call, event, found) for event in heard if event.agent_id}

    return write


def _told(call: Call, event: Event, found: Mapping[UUID, Agent]) -> bytes:
    assert event.agent_id is not None
    agent = found.get(event.agent_id)
    if agent is None:
        return frame("agent.deleted", event.seq, AgentGone(agent_id=event.agent_id))
    return frame("agent", event.seq, AgentMessage(agent=AgentRead.of(agent, call)))
