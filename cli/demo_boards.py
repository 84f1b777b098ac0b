"""All boards of the demo, and its tasks by title."""

from cli.demo_docs import DOCS_BOARD
from cli.demo_release import RELEASE_BOARD
from cli.demo_support import SUPPORT_BOARD

DEMO_BOARDS = (RELEASE_BOARD, DOCS_BOARD, SUPPORT_BOARD)
TASKS_BY_TITLE = {
    task.title: task for board in DEMO_BOARDS for task in (*board.tasks, *board.later_tasks)
}
