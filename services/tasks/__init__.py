"""Tasks: the public functions and types of the domain."""

from services.tasks.assigned_tasks import (
    AssignedFilters,
    AssignedOrder,
    AssignedTask,
    DueSection,
    SectionStarts,
    count_assigned_tasks,
    count_by_board,
    count_sections,
    list_assigned_tasks,
)
from services.tasks.board_queries import (
    BLOCKED_COUNT,
    CARDS_IN_COLUMN,
    MAX_COUNTED,
    MAX_GROUPS,
    ORDERS,
    OVERDUE,
    UNDATED,
    BoardColumn,
    BoardFilters,
    BoardOrder,
    DayStarts,
    DueGroup,
    DueTasks,
    TaskGroup,
    TaskGrouping,
    TaskNeighbors,
    count_group,
    count_tasks_before,
    find_neighbors,
    find_next_task,
    list_board_columns,
    list_due_tasks,
    list_group_page,
    list_matching_ids,
    list_task_groups,
)
from services.tasks.bulk_changes import (
    TASKS_AT_ONCE,
    BulkChange,
    BulkResult,
    UndoableChange,
    change_tasks,
    find_undoable_change,
    purge_bulk_changes,
    restore_tasks,
    store_undo,
    undo_change,
)
from services.tasks.change_request import CLAIM_FIELDS, TaskCreate, TaskUpdate
from services.tasks.commands import (
    MAX_BULK_TASKS,
    create_task,
    unassign_departing_agent,
    unassign_former_readers,
    unassign_gateway_agents,
    update_task,
)
from services.tasks.comments import (
    CommentDetail,
    TaskCommentCreate,
    create_comment,
    list_comments,
    load_comments,
    prepare_comment,
)
from services.tasks.descriptions import (
    HAS_DESCRIPTION_VERSIONS,
    DescriptionVersion,
    get_description_text,
    list_description_versions,
    load_description_beginnings,
    load_description_texts,
)
from services.tasks.history import (
    MAX_ENTRIES,
    FieldChange,
    HistoryEntry,
    HistoryPage,
    HistorySelection,
    list_history,
)
from services.tasks.positions import TaskPosition, find_position, reorder_task
from services.tasks.queries import (
    BOARD_TASKS,
    IS_POSSIBLE_DEPENDENCY,
    TASK_DETAIL,
    WORKER,
    Assignee,
    CardTask,
    LinkRef,
    ListedTask,
    TagRef,
    TaskDetail,
    TaskRef,
    build_listed_task,
    find_free_task,
    get_card_task,
    get_task,
    get_task_detail,
    list_tasks,
    load_task_details,
    task_not_found,
)
from services.tasks.rules import LEAD_FIELDS, WORKER_FIELDS
from services.tasks.staleness import follow_up_tasks, list_boards_to_follow_up
from services.tasks.transitions import MAX_RECORDED_LENGTH
from services.tasks.trash import (
    delete_task,
    find_trashed_task,
    list_trashed_tasks,
    list_trashed_titles,
    purge_tasks,
    purge_trash,
    restore_task,
)
from services.tasks.user_notifications import (
    WATCHERS,
    has_due_reminders,
    list_watchers,
    load_mentionable_people,
    remind_of_due_dates,
    unwatch_task,
    watch_task,
)
