"""Dependencies of operations: functions that load and lock what an operation works on.

An object of another organization raises NotFound; a missing right in the caller's own
organization raises Forbidden.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from api.framework.operation import Dependency, error_responses
from api.framework.request_context import RequestContext
from core.errors import Forbidden
from models import Agent
from services import (
    agents,
    boards,
    channels,
    gateways,
    organizations,
)
from services.gateways import requests

DependencyValues = dict[str, Any]
"""Arguments of the handler, by name."""


async def board_for_read(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load a board that the caller may read."""
    return {"board": await boards.get_board(context.source, context.actor, path["board_id"])}


async def board_for_update(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a board that the caller may change."""
    return {"board": await boards.lock_board(context.session, context.actor, path["board_id"])}


async def board_for_admin(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a board that the caller may change as an admin."""
    return {
        "board": await boards.lock_board_as_admin(context.session, context.actor, path["board_id"])
    }


async def board_for_deletion(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a board that the caller may delete."""
    board = await boards.lock_board_as_admin(
        context.session, context.actor, path["board_id"], to_delete=True
    )
    return {"board": board}


async def active_membership(context: RequestContext, _path: Mapping[str, Any]) -> DependencyValues:
    """Load the caller's membership in the active organization."""
    return {
        "member": await organizations.get_or_create_active_membership(context.source, context.user)
    }


async def admin_membership(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load the active membership, for admins only."""
    loaded = await active_membership(context, path)
    organizations.require_admin(loaded["member"])
    return loaded


def loads(
    get: Callable[..., Awaitable[object]], id: str, raises: Collection[int] = (404,)
) -> Dependency:
    """Return a dependency that loads `found`, an object of the organization by its id in the path.

    `get` is a function of a service, `get_tag(source, member, tag_id)`. `raises` are the statuses
    of its errors, for the OpenAPI document.
    """

    async def load(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
        loaded = await active_membership(context, path)
        return loaded | {"found": await get(context.source, loaded["member"], path[id])}

    return error_responses(*raises)(load)


def locks(
    lock: Callable[..., Awaitable[object]], id: str, raises: Collection[int] = (403, 404)
) -> Dependency:
    """Return a dependency that loads and locks `found`, as `loads` with `lock_tag`."""

    async def load(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
        loaded = await active_membership(context, path)
        return loaded | {"found": await lock(context.session, loaded["member"], path[id])}

    return error_responses(*raises)(load)


async def owner_membership(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load the active membership, for owners only."""
    loaded = await active_membership(context, path)
    organizations.require_owner(loaded["member"])
    return loaded


async def member_for_update(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a member of the organization, for admins."""
    loaded = await admin_membership(context, path)
    locked = await organizations.lock_member(context.session, loaded["member"], path["member_id"])
    return {"locked_member": locked}


async def admin_or_lead(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Admit admins of the organization and board leads, with the lead's board locked."""
    if isinstance(context.actor, Agent):
        return await board_for_lead(context, path)
    return await admin_membership(context, path)


async def board_for_lead(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock the board in the path, or the lead's own board; for its lead only."""
    board_id = path.get("board_id", context.agent.board_id)
    loaded = await board_for_update(context, {"board_id": board_id}) if board_id else {}
    if not (loaded and context.agent.is_board_lead):
        raise Forbidden("lead_required", "Only the board's lead can do that.")
    return loaded


async def board_for_asking(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock the board in the path, for its agents. The service checks what workers may."""
    if context.agent.board_id is None:  # the agent of a gateway
        return await board_for_lead(context, path)
    return await board_for_update(context, path)


async def board_of_gateway_agent(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load and lock a board, for the main agent of its gateway."""
    loaded = await board_for_update(context, path)
    if context.agent.board_id is not None:
        raise Forbidden("gateway_main_required", "Only the gateway's own agent can do that.")
    return loaded


async def agent_for_admin(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load an agent of the organization, for admins."""
    loaded = await admin_membership(context, path)
    agent = await agents.get_agent(context.source, loaded["member"], path["agent_id"])
    return loaded | {"agent": agent}


async def channel_for_read(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load a channel of the caller in the active organization."""
    loaded = await active_membership(context, path)
    detail = await channels.get_channel(
        context.source, loaded["member"], path["channel_id"], context.secret_cipher
    )
    return loaded | {"detail": detail}


async def channel_for_update(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a channel of the caller in the active organization."""
    loaded = await active_membership(context, path)
    channel = await channels.lock_channel(context.session, loaded["member"], path["channel_id"])
    return loaded | {"channel": channel}


async def agent_for_read(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load an agent of the user's organizations, for users who may read its board."""
    return {"agent": await agents.get_visible_agent(context.source, context.user, path["agent_id"])}


async def gateway_for_admin(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load a gateway of the organization, for admins."""
    loaded = await admin_membership(context, path)
    gateway = await gateways.get_gateway(context.source, loaded["member"], path["gateway_id"])
    return loaded | {"gateway": gateway}


async def gateway_request_for_answer(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load a gateway request that the user may answer."""
    return {
        "gateway_request": await requests.get_request(
            context.source, context.user, path["request_id"]
        )
    }


async def agent_for_heartbeat(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Return the calling agent if the path names it, or lock an agent for an admin."""
    if isinstance(context.actor, Agent):
        if path["agent_id"] != context.actor.id:
            raise Forbidden("agent_mismatch", "An agent can check in only for itself.")
        return {"agent": context.actor}
    loaded = await admin_membership(context, path)
    agent, _ = await agents.lock_agent(context.session, loaded["member"], path["agent_id"])
    return {"agent": agent}


async def group_for_read(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load a board group that the user may read."""
    return {"group": await boards.get_group(context.source, context.user, path["group_id"])}


async def group_for_update(context: RequestContext, path: Mapping[str, Any]) -> DependencyValues:
    """Load and lock a board group that the user may change as an admin."""
    return {
        "group": await boards.lock_group_as_admin(context.session, context.user, path["group_id"])
    }


async def group_agents_for_update(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Lock the boards of a group with their agents, for admins and leads of the group."""
    locked = await boards.lock_group_agents_as_manager(
        context.session, context.actor, path["group_id"]
    )
    return {"locked_group": locked}
