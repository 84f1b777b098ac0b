"""What a caller may reach of groups of boards, and of what boards and groups remember."""

from collections.abc import Mapping
from typing import Any

from api import reach
from api.operations import Call
from services import board_groups, memory
from services.memory import Place

Reached = dict[str, Any]


async def group_to_read(call: Call, path: Mapping[str, Any]) -> Reached:
    """Find a group of boards that the caller may read."""
    return {"group": await board_groups.get(call.session, call.user, path["group_id"])}


async def group_to_change(call: Call, path: Mapping[str, Any]) -> Reached:
    """Find a group of boards that the caller may change as an admin, and hold it."""
    return {"group": await board_groups.hold_as_admin(call.session, call.user, path["group_id"])}


async def crews(call: Call, path: Mapping[str, Any]) -> Reached:
    """Hold the boards of a group, with their agents, for its admins and for the leads there."""
    held = await board_groups.hold_to_steer(call.session, call.actor, path["group_id"])
    return {"held": held}


async def notes_to_read(call: Call, path: Mapping[str, Any]) -> Reached:
    """Find what a board remembers that the caller may read, and the note that is named."""
    reached = await reach.reading(call, path)
    return await _to_read(call, memory.on_board(reached["board"]), path)


async def notes_to_change(call: Call, path: Mapping[str, Any]) -> Reached:
    """Hold a board that the caller may change, and the note that is named."""
    reached = await reach.writing(call, path)
    return await _to_change(call, memory.on_board(reached["board"]), path)


async def shared_to_read(call: Call, path: Mapping[str, Any]) -> Reached:
    """Find what a group remembers, or the group of a board, and the note that is named."""
    if "group_id" in path:
        return await _to_read(
            call, memory.in_group((await group_to_read(call, path))["group"]), path
        )
    reached = await reach.reading(call, path)
    return await _to_read(call, memory.in_group_of(reached["board"]), path)


async def shared_to_change(call: Call, path: Mapping[str, Any]) -> Reached:
    """Find a group, or the group of a board, to whose memory the caller may write."""
    if "group_id" in path:
        group = await board_groups.writing(call.session, call.user, path["group_id"])
        return await _to_change(call, memory.in_group(group), path)
    board = (await reach.writing(call, path))["board"]
    group = await board_groups.of_board(call.session, board)
    return await _to_change(call, memory.in_group_of(board, group), path)


async def _to_read(call: Call, place: Place, path: Mapping[str, Any]) -> Reached:
    if "memory_id" not in path:
        return {"place": place}
    return {"place": place, "note": await memory.one(call.session, place, path["memory_id"])}


async def _to_change(call: Call, place: Place, path: Mapping[str, Any]) -> Reached:
    if "memory_id" not in path:
        return {"place": place}
    return {"place": place, "note": await memory.hold(call.session, place, path["memory_id"])}
