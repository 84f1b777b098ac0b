"""Index the lists and totals whose statements read all rows of a board, an agent or a task."""

from alembic import op
from sqlalchemy import text

revision = "0094"
down_revision = "0093"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_agent_messages_task_id", "agent_messages", ["task_id"], None),
    ("ix_agent_messages_approval_id", "agent_messages", ["approval_id"], None),
    ("ix_agent_questions_board_id_created_at", "agent_questions", ["board_id", "created_at"], None),
    (
        "ix_board_group_memory_shown",
        "board_group_memory",
        ["board_group_id", "created_at", "id", "is_chat"],
        r"content ~ '\S'",
    ),
    (
        "ix_board_memory_shown",
        "board_memory",
        ["board_id", "created_at", "id", "is_chat"],
        r"content ~ '\S'",
    ),
    ("ix_tasks_due", "tasks", ["board_id", "due_at"], "due_at is not null"),
    (
        "ix_tasks_work_of_agents",
        "tasks",
        ["assigned_agent_id", "in_progress_at", "id"],
        "status = 'in_progress'",
    ),
    ("ix_agent_runs_of_messages", "agent_runs", ["agent_id", text('"left"(run_id, 36)')], None),
    ("ix_trash_board_id_deleted_at", "trash", ["board_id", "deleted_at"], None),
)
COVERED = ("agent_questions", "trash")  # whose index of boards alone is not needed any more


def upgrade() -> None:
    for name, table, columns, condition in INDEXES:
        where = text(condition) if condition else None
        op.create_index(op.f(name), table, columns, postgresql_where=where)
    for table in COVERED:
        op.drop_index(op.f(f"ix_{table}_board_id"), table)


def downgrade() -> None:
    for table in COVERED:
        op.create_index(op.f(f"ix_{table}_board_id"), table, ["board_id"])
    for name, table, _, _ in reversed(INDEXES):
        op.drop_index(op.f(name), table)
