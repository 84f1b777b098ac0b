"""Boards and board groups: access, changes, pausing, and snapshots."""

from services.boards.access import (
    READABLE_BOARD_IDS,
    BoardPermissions,
    get_board,
    get_board_permissions,
    list_readable_board_ids,
    list_writable_board_ids,
    lock_board,
    lock_board_as_admin,
    lock_board_of_agent,
    lock_boards,
    may_change_access,
    readable_board_ids_query,
    require_write_access,
    visible_boards_query,
    writable_board_ids_query,
)
from services.boards.commands import create_board, delete_board, set_goal, update_board
from services.boards.group_access import (
    find_group_of_board,
    get_group,
    list_groups,
    lock_group,
    lock_group_as_admin,
)
from services.boards.group_commands import (
    GroupAgents,
    create_group,
    delete_group,
    lock_group_agents_as_manager,
    set_group_heartbeat_interval,
    update_group,
)
from services.boards.pause import check_agents_may_work, find_pauser, pause_board, resume_board
from services.boards.queries import (
    BoardSummary,
    get_board_by_slug,
    list_agent_boards,
    list_board_summaries,
    list_boards,
)
from services.boards.rules import TASK_RULES, BoardDraft, GroupDraft
from services.boards.snapshot import (
    BoardSnapshot,
    GroupSnapshot,
    GroupSnapshotBoard,
    GroupSnapshotTask,
    load_board_snapshot,
    load_group_snapshot,
)
