"""Tasks: the public functions and types of the domain."""

from services.tasks.change_request import MAX_TITLE_LENGTH, TaskDraft
from services.tasks.commands import create_task, unassign_agent_tasks, update_task
from services.tasks.comments import (
    CommentDetail,
    create_comment,
    list_comments,
    load_comments,
    prepare_comment,
)
from services.tasks.details import (
    TagRef,
    TaskDetail,
    TaskRef,
    get_task_detail,
    load_task_details,
)
from services.tasks.events import TaskEvent, build_events
from services.tasks.history import FieldChange, HistoryEntry, list_history
from services.tasks.queries import (
    BOARD_TASKS,
    BoardColumn,
    BoardFilters,
    list_assignable_agents,
    list_board_columns,
    list_dependency_choices,
    list_tasks,
)
from services.tasks.trash import delete_task, purge_trash, restore_task
