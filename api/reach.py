"""What a caller may reach: each finds what an operation acts upon, or refuses.

What is of another organization is not found; what is of one's own and not allowed is forbidden.
"""

from collections.abc import Mapping
from typing import Any

from api.operations import Call
from kit.errors import Forbidden
from models import Actor, Agent, User
from services import boards, organizations


async def reading(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may read."""
    return {"board": await boards.get(call.session, _known(call), path["board_id"])}


async def writing(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may change, and hold it."""
    return {"board": await boards.hold(call.session, _known(call), path["board_id"])}


async def governing(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find a board that the caller may change as an admin, and hold it."""
    return {"board": await boards.hold_as_admin(call.session, _known(call), path["board_id"])}


async def belonging(call: Call, _path: Mapping[str, Any]) -> dict[str, Any]:
    """Find the caller's membership in the organization that is active for them."""
    user = _known(call)
    assert isinstance(user, User)
    return {"member": await organizations.active(call.session, user)}


async def administering(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """As `belonging`, for admins only."""
    reached = await belonging(call, path)
    organizations.require_admin(reached["member"])
    return reached


async def leading(call: Call, path: Mapping[str, Any]) -> dict[str, Any]:
    """Find the board of a lead, and hold it."""
    lead = _known(call)
    if not (isinstance(lead, Agent) and lead.is_board_lead):
        raise Forbidden("lead_required", "Only the board's lead can do that.")
    return await writing(call, {"board_id": lead.board_id} | dict(path))


def _known(call: Call) -> Actor:
    assert call.actor is not None
    return call.actor
