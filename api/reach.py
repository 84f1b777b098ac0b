"""What a caller may reach: each finds what an operation acts upon, or refuses.

What is of another organization is not found; what is of one's own and not allowed is forbidden.
"""

from collections.abc import Mapping
from typing import Any

from api.operations import Call
from kit.errors import Forbidden
from models import Agent
from services import (
    agents,
    boards,
    custom_fields,
    gateway_requests,
    gateways,
    organizations,
    tags,
)


async def reading(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may read."""
    return {"board": await boards.get(call.session, call.actor, path["board_id"])}


async def writing(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may change, and hold it."""
    return {"board": await boards.hold(call.session, call.actor, path["board_id"])}


async def governing(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may change as an admin, and hold it."""
    return {"board": await boards.hold_as_admin(call.session, call.actor, path["board_id"])}


async def belonging(call: Call, _path: Mapping[str, Any]) -> dict[str, Any]:
    """Find the caller's membership in the organization that is active for them."""
    return {"member": await organizations.active(call.session, call.user)}


async def administering(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """As `belonging`, for admins only."""
    reached = await belonging(call, path)
    organizations.require_admin(reached["member"])
    return reached


async def owning(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """As `belonging`, for owners only."""
    reached = await belonging(call, path)
    organizations.require_owner(reached["member"])
    return reached


async def member_to_change(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a member of the organization, and hold it, for its admins."""
    reached = await administering(call, path)
    held = await organizations.hold_member(call.session, reached["member"], path["member_id"])
    return {"held": held}


async def staffing(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Let in those who look after agents: an organization's admins, and the leads of boards."""
    if isinstance(call.actor, Agent):
        return await leading(call, path)
    return await administering(call, path)


async def leading(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find the board that is named, or the lead's own, and hold it; for its lead only."""
    board_id = path.get("board_id", call.agent.board_id)
    reached = await writing(call, {"board_id": board_id}) if board_id else {}
    if not (reached and call.agent.is_board_lead):
        raise Forbidden("lead_required", "Only the board's lead can do that.")
    return reached


async def asking(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board and hold it, for the agent that looks after its gateway."""
    reached = await writing(call, path)
    if call.agent.board_id is not None:
        raise Forbidden("gateway_main_required", "Only the gateway's own agent can do that.")
    return reached


async def agent_in_reach(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find an agent of the organization, for its admins."""
    reached = await administering(call, path)
    agent = await agents.get(call.session, reached["member"], path["agent_id"])
    return reached | {"agent": agent}


async def tag_to_read(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a tag of the organization in which the caller works."""
    reached = await belonging(call, path)
    return {"tag": await tags.get(call.session, reached["member"], path["tag_id"])}


async def tag_to_change(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a tag of the organization, and hold it, for its admins."""
    reached = await belonging(call, path)
    return reached | {"tag": await tags.hold(call.session, reached["member"], path["tag_id"])}


async def agent_in_sight(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find an agent of the caller's organizations, for those who read its board."""
    return {"agent": await agents.seen(call.session, call.user, path["agent_id"])}


async def field_to_change(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a custom field of the organization, and hold it, for its admins."""
    reached = await belonging(call, path)
    field_id = path["task_custom_field_definition_id"]
    return reached | {"field": await custom_fields.hold(call.session, reached["member"], field_id)}


async def gateway_in_reach(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a gateway of the organization, for its admins."""
    reached = await administering(call, path)
    gateway = await gateways.get(call.session, reached["member"], path["gateway_id"])
    return reached | {"gateway": gateway}


async def request_in_reach(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find what an agent on a gateway asks, for those who may answer it."""
    return {"asked": await gateway_requests.found(call.session, call.user, path["request_id"])}


async def own_agent(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find the agent that calls, if it is meant; or one that an admin may change."""
    if isinstance(call.actor, Agent):
        if path["agent_id"] != call.actor.id:
            raise Forbidden("agent_mismatch", "An agent checks in for itself alone.")
        return {"agent": call.actor}
    reached = await administering(call, path)
    agent, _ = await agents.hold(call.session, reached["member"], path["agent_id"])
    return {"agent": agent}
