"""Index the tasks of each board in the order of snapshots of groups, the most urgent first."""

from alembic import op
from sqlalchemy import text

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None

NAME = "ix_tasks_urgent"
ORDER = (
    "array_position(array['in_progress', 'review', 'inbox'], status)",
    "array_position(array['high', 'medium', 'low'], priority)",
    "updated_at desc",
    "created_at desc",
    "id desc",
)


def upgrade() -> None:
    op.create_index(op.f(NAME), "tasks", ["board_id", *map(text, ORDER)])


def downgrade() -> None:
    op.drop_index(op.f(NAME), "tasks")
