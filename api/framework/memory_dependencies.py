"""Dependencies of operations on the memory of boards and groups."""

from collections.abc import Mapping
from typing import Any

from api.framework.dependencies import (
    DependencyValues,
    board_for_read,
    board_for_update,
    group_for_read,
)
from api.framework.handler import RequestContext
from services import boards, memory
from services.memory import MemoryScope


async def board_memory_for_read(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load the memory scope of a readable board, and the note in the path."""
    loaded = await board_for_read(context, path)
    return await _load_memory(context, memory.board_scope(loaded["board"]), path)


async def board_memory_for_update(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Lock a board that the caller may change, and the note in the path."""
    loaded = await board_for_update(context, path)
    return await _lock_memory(context, memory.board_scope(loaded["board"]), path)


async def group_memory_for_read(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Load the memory scope of a group or of a board's group, and the note in the path."""
    if "group_id" in path:
        return await _load_memory(
            context, memory.group_scope((await group_for_read(context, path))["group"]), path
        )
    loaded = await board_for_read(context, path)
    return await _load_memory(context, memory.board_group_scope(loaded["board"]), path)


async def group_memory_for_update(
    context: RequestContext, path: Mapping[str, Any]
) -> DependencyValues:
    """Lock a group, or a board and its group, for a caller who may write to its memory."""
    if "group_id" in path:
        group = await boards.lock_group(context.session, context.user, path["group_id"])
        return await _lock_memory(context, memory.group_scope(group), path)
    board = (await board_for_update(context, path))["board"]
    group = await boards.find_group_of_board(context.session, board)
    return await _lock_memory(context, memory.board_group_scope(board, group), path)


async def _load_memory(
    context: RequestContext, scope: MemoryScope, path: Mapping[str, Any]
) -> DependencyValues:
    if "memory_id" not in path:
        return {"scope": scope}
    return {
        "scope": scope,
        "note": await memory.get_note(context.source, scope, path["memory_id"]),
    }


async def _lock_memory(
    context: RequestContext, scope: MemoryScope, path: Mapping[str, Any]
) -> DependencyValues:
    if "memory_id" not in path:
        return {"scope": scope}
    return {
        "scope": scope,
        "note": await memory.lock_note(context.session, scope, path["memory_id"]),
    }
