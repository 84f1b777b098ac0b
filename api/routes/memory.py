"""Operations on the memory of boards and groups, and on groups of boards."""

from api.endpoints import board_groups, memory
from api.endpoints.memory import (
    board_memory_for_read,
    board_memory_for_update,
    group_memory_for_read,
    group_memory_for_update,
)
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_read,
    group_agents_for_update,
    group_for_read,
    group_for_update,
)
from api.routes.declare import EITHER, USER, Operation, declare_group_memory

BOARD = "/boards/{board_id}"
MEMORY, BOARD_GROUP_MEMORY = f"{BOARD}/memory", f"{BOARD}/group-memory"
NOTE, BOARD_GROUP_NOTE = f"{MEMORY}/{{memory_id}}", f"{BOARD_GROUP_MEMORY}/{{memory_id}}"
GROUPS, GROUP = "/board-groups", "/board-groups/{group_id}"
SNAPSHOT, HEARTBEAT, GROUP_MEMORY = f"{GROUP}/snapshot", f"{GROUP}/heartbeat", f"{GROUP}/memory"
GROUP_NOTE, GROUP_MEMORY_STREAM = f"{GROUP_MEMORY}/{{memory_id}}", f"{GROUP_MEMORY}/stream"
GROUP_TAGS, BOARD_TAGS, GROUP_MEMORY_TAGS = (
    ["board-groups"],
    ["board-memory"],
    ["board-group-memory"],
)


OPERATIONS: list[Operation] = [
    Operation("GET", MEMORY, memory.list_board_memory, EITHER, BOARD_TAGS, board_memory_for_read),
    Operation(
        "POST", MEMORY, memory.create_board_memory, EITHER, BOARD_TAGS, board_memory_for_update
    ),
    Operation(
        "GET",
        f"{MEMORY}/stream",
        memory.stream_board_memory,
        EITHER,
        BOARD_TAGS,
        board_for_read,
    ),
    Operation("GET", NOTE, memory.get_board_memory, EITHER, BOARD_TAGS, board_memory_for_read),
    Operation(
        "PATCH", NOTE, memory.update_board_memory, EITHER, BOARD_TAGS, board_memory_for_update
    ),
    Operation("DELETE", NOTE, memory.delete_memory, EITHER, BOARD_TAGS, board_memory_for_update),
    #
    declare_group_memory(
        "GET", BOARD_GROUP_MEMORY, memory.list_group_memory, "discovery", group_memory_for_read
    ),
    declare_group_memory(
        "POST", BOARD_GROUP_MEMORY, memory.create_group_memory, "record", group_memory_for_update
    ),
    declare_group_memory(
        "GET",
        f"{BOARD_GROUP_MEMORY}/stream",
        memory.stream_board_group_memory,
        "stream",
        board_for_read,
    ),
    declare_group_memory(
        "GET", BOARD_GROUP_NOTE, memory.get_group_memory, "lookup", group_memory_for_read
    ),
    declare_group_memory(
        "PATCH", BOARD_GROUP_NOTE, memory.update_group_memory, "update", group_memory_for_update
    ),
    declare_group_memory(
        "DELETE", BOARD_GROUP_NOTE, memory.delete_memory, "delete", group_memory_for_update
    ),
    #
    Operation("GET", GROUPS, board_groups.list_board_groups, USER, GROUP_TAGS, active_membership),
    Operation("POST", GROUPS, board_groups.create_board_group, USER, GROUP_TAGS, admin_membership),
    Operation("GET", GROUP, board_groups.get_board_group, USER, GROUP_TAGS, group_for_read),
    Operation("PATCH", GROUP, board_groups.update_board_group, USER, GROUP_TAGS, group_for_update),
    Operation("DELETE", GROUP, board_groups.delete_board_group, USER, GROUP_TAGS),
    Operation("GET", SNAPSHOT, board_groups.get_group_snapshot, USER, GROUP_TAGS, group_for_read),
    Operation(
        "POST",
        HEARTBEAT,
        board_groups.apply_board_group_heartbeat,
        EITHER,
        GROUP_TAGS,
        group_agents_for_update,
    ),
    #
    Operation(
        "GET",
        GROUP_MEMORY,
        memory.list_group_memory,
        USER,
        GROUP_MEMORY_TAGS,
        group_memory_for_read,
    ),
    Operation(
        "POST",
        GROUP_MEMORY,
        memory.create_group_memory,
        USER,
        GROUP_MEMORY_TAGS,
        group_memory_for_update,
    ),
    Operation(
        "GET",
        GROUP_MEMORY_STREAM,
        memory.stream_group_memory,
        USER,
        GROUP_MEMORY_TAGS,
        group_for_read,
    ),
    Operation(
        "GET", GROUP_NOTE, memory.get_group_memory, USER, GROUP_MEMORY_TAGS, group_memory_for_read
    ),
    Operation(
        "PATCH",
        GROUP_NOTE,
        memory.update_group_memory,
        USER,
        GROUP_MEMORY_TAGS,
        group_memory_for_update,
    ),
    Operation(
        "DELETE", GROUP_NOTE, memory.delete_memory, USER, GROUP_MEMORY_TAGS, group_memory_for_update
    ),
]
