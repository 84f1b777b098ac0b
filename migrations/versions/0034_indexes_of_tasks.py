"""Add an index for the done column of boards, and drop one that covers all organizations.

The done column shows the last completed tasks first. The planner combined the index of the status
alone with others, and read the tasks of all boards then.
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_tasks_board_id_completed_at",
        "tasks",
        ["board_id", sa.text("coalesce(done_at, updated_at)")],
        postgresql_where=sa.text("status = 'done'"),
    )
    op.drop_index("ix_tasks_status", "tasks")


def downgrade() -> None:
    op.create_index("ix_tasks_status", "tasks", ["status"])
    op.drop_index("ix_tasks_board_id_completed_at", "tasks")
