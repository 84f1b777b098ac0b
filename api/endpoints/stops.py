"""The stop of all agents of an organization."""

from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, admin_membership
from api.framework.fields import Ok, RequestModel, ResponseModel, Text, Timestamp
from api.framework.operation import USER, Operation, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, json_id, json_time
from models import Member
from services import organizations
from services.organizations import AgentStop


class AgentStopRead(ResponseModel):
    """Whether all agents of the organization are stopped, by whom, and why."""

    is_stopped: bool
    stopped_at: Timestamp | None
    stopped_by: str | None = Field(examples=["Alice"])
    stopped_by_user_id: UUID | None = Field(description="Null: by a command on the server.")
    reason: str | None


def _encode_stop(stop: AgentStop | None) -> Encoded[AgentStopRead]:
    fields = {
        "is_stopped": stop is not None,
        "stopped_at": json_time(stop.stopped_at) if stop else None,
        "stopped_by": stop.stopped_by if stop else None,
        "stopped_by_user_id": json_id(stop.user_id) if stop else None,
        "reason": stop.reason if stop else None,
    }
    return Encoded(fields)


class AgentStopCreate(RequestModel):
    """A stop of all agents."""

    example = {"reason": "The importer deletes the wrong rows."}

    reason: Text | None = None


@reads_only
async def get_agent_stop(context: RequestContext, member: Member) -> Encoded[AgentStopRead]:
    """Return whether all agents of the active organization are stopped."""
    return _encode_stop(AgentStop.find_in(member.organization))


async def stop_agents(
    context: RequestContext, member: Member, body: AgentStopCreate
) -> Encoded[AgentStopRead]:
    """Stop all agents of the active organization, for admins.

    No message is sent, running turns are aborted where the gateway allows it, and agents that take
    or move tasks get 409 `organization_stopped`. A stop that exists is returned unchanged.
    """
    stop = await organizations.stop_agents(context.session, member, reason=body.reason)
    return _encode_stop(stop)


async def resume_agents(context: RequestContext, member: Member) -> Ok:
    """Resume all agents, for admins. Messages that were held are delivered in their order.

    Agents that were not stopped are not changed. Turns that were aborted are not repeated.
    """
    await organizations.resume_agents(context.session, member)
    return Ok()


STOP = "/organizations/me/stop"
TAGS = ["organizations"]

OPERATIONS = [
    Operation("GET", STOP, get_agent_stop, USER, TAGS, active_membership),
    Operation("POST", STOP, stop_agents, USER, TAGS, admin_membership),
    Operation("DELETE", STOP, resume_agents, USER, TAGS, admin_membership),
]
