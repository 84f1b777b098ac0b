"""Boards and board groups: access, changes, and pausing."""

from services.boards.access import (
    MEMBER_EVENTS,
    BoardPermissions,
    get_board,
    get_board_as_admin,
    get_board_permissions,
    lock_board,
    lock_board_as_admin,
    lock_board_of_agent,
    lock_boards,
    may_change_access,
    require_write_access,
)
from services.boards.commands import (
    BOARD_DELETION,
    TASK_RULES,
    BoardCreate,
    BoardDeletion,
    BoardType,
    BoardUpdate,
    SuccessMetrics,
    create_board,
    delete_board,
    require_complete_goal,
    set_goal,
    update_board,
)
from services.boards.group_access import (
    READABLE_GROUP_IDS,
    VISIBLE_GROUPS,
    GroupPermissions,
    find_group_of_board,
    get_group,
    get_group_as_admin,
    get_group_permissions,
    list_groups,
    lock_group,
    lock_group_as_admin,
)
from services.boards.group_commands import (
    BoardGroupCreate,
    BoardGroupUpdate,
    GroupAgents,
    GroupBoardChanges,
    change_group_boards,
    create_group,
    delete_group,
    lock_group_agents_as_manager,
    lock_group_boards,
    update_group,
)
from services.boards.pause import check_agent_may_work, find_pauser, run_command
from services.boards.people import (
    BOARD_PEOPLE,
    CAN_READ,
    ON_BOARD,
    BoardPerson,
    build_readers_query,
    can_user_read,
    list_board_people,
)
from services.boards.queries import (
    BY_NAME,
    BoardSummary,
    RelatedBoard,
    get_board_by_slug,
    list_agent_boards,
    list_board_summaries,
    list_boards,
    list_related_boards,
)
from services.boards.visibility import (
    AGENT_BOARD_IDS,
    MEMBER_BOARDS,
    READABLE_BOARD_IDS,
    USER_BOARDS,
    WRITABLE_BOARD_IDS,
    WRITABLE_IDS,
    access_parameters,
    list_readable_board_ids,
    list_writable_board_ids,
    readable_board_ids_query,
    visible_boards_query,
)
