"""Index the tasks of a board in the order of its list, which is read page by page."""

from alembic import op
from sqlalchemy import text

revision = "0100"
down_revision = "0099"
branch_labels = None
depends_on = None

COLUMNS = ("board_id", "status", "due_at", text("created_at DESC"), text("id DESC"))


def upgrade() -> None:
    op.create_index(op.f("ix_tasks_list"), "tasks", COLUMNS)


def downgrade() -> None:
    op.drop_index(op.f("ix_tasks_list"), "tasks")
