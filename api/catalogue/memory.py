"""What is asked of memory, and of groups of boards."""

from api import board_groups, memory, memory_streams
from api import reach as to
from api import reach_groups as near
from api.catalogue.declaring import EITHER, USER, Op
from api.hints import HINTS
from api.operations import Handler, Reach

BOARD = "/boards/{board_id}"
MEMORY, OURS = f"{BOARD}/memory", f"{BOARD}/group-memory"
NOTE, OUR_NOTE = f"{MEMORY}/{{memory_id}}", f"{OURS}/{{memory_id}}"
GROUPS, A_GROUP = "/board-groups", "/board-groups/{group_id}"
GLANCE, BEAT, THEIRS = f"{A_GROUP}/snapshot", f"{A_GROUP}/heartbeat", f"{A_GROUP}/memory"
THEIR_NOTE, THEIR_STREAM = f"{THEIRS}/{{memory_id}}", f"{THEIRS}/stream"
OF_GROUPS, NOTES, SHARED = ["board-groups"], ["board-memory"], ["board-group-memory"]


def ours(method: str, path: str, handler: Handler, deed: str, reach: Reach) -> Op:
    """Declare what people and agents may do with the memory of a board's group."""
    intent = f"agent_board_group_memory_{deed}"
    hint = HINTS[intent]
    return Op(method, path, handler, EITHER, [*SHARED, *hint.tags], reach, hint.keys(intent))


OPERATIONS: list[Op] = [
    Op("GET", MEMORY, memory.list_board_memory, EITHER, NOTES, near.notes_to_read),
    Op("POST", MEMORY, memory.create_board_memory, EITHER, NOTES, near.notes_to_change),
    Op("GET", f"{MEMORY}/stream", memory_streams.stream_board_memory, EITHER, NOTES, to.reading),
    Op("GET", NOTE, memory.get_board_memory, EITHER, NOTES, near.notes_to_read),
    Op("PATCH", NOTE, memory.update_board_memory, EITHER, NOTES, near.notes_to_change),
    Op("DELETE", NOTE, memory.delete_memory, EITHER, NOTES, near.notes_to_change),
    #
    ours("GET", OURS, memory.list_group_memory, "discovery", near.shared_to_read),
    ours("POST", OURS, memory.create_group_memory, "record", near.shared_to_change),
    ours("GET", f"{OURS}/stream", memory_streams.stream_memory_beside, "stream", to.reading),
    ours("GET", OUR_NOTE, memory.get_group_memory, "lookup", near.shared_to_read),
    ours("PATCH", OUR_NOTE, memory.update_group_memory, "update", near.shared_to_change),
    ours("DELETE", OUR_NOTE, memory.delete_memory, "delete", near.shared_to_change),
    #
    Op("GET", GROUPS, board_groups.list_board_groups, USER, OF_GROUPS, to.belonging),
    Op("POST", GROUPS, board_groups.create_board_group, USER, OF_GROUPS, to.administering),
    Op("GET", A_GROUP, board_groups.get_board_group, USER, OF_GROUPS, near.group_to_read),
    Op("PATCH", A_GROUP, board_groups.update_board_group, USER, OF_GROUPS, near.group_to_change),
    Op("DELETE", A_GROUP, board_groups.delete_board_group, USER, OF_GROUPS),
    Op("GET", GLANCE, board_groups.get_group_snapshot, USER, OF_GROUPS, near.group_to_read),
    Op("POST", BEAT, board_groups.apply_board_group_heartbeat, EITHER, OF_GROUPS, near.crews),
    #
    Op("GET", THEIRS, memory.list_group_memory, USER, SHARED, near.shared_to_read),
    Op("POST", THEIRS, memory.create_group_memory, USER, SHARED, near.shared_to_change),
    Op("GET", THEIR_STREAM, memory_streams.stream_group_memory, USER, SHARED, near.group_to_read),
    Op("GET", THEIR_NOTE, memory.get_group_memory, USER, SHARED, near.shared_to_read),
    Op("PATCH", THEIR_NOTE, memory.update_group_memory, USER, SHARED, near.shared_to_change),
    Op("DELETE", THEIR_NOTE, memory.delete_memory, USER, SHARED, near.shared_to_change),
]
