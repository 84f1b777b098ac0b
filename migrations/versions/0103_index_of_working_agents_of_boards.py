"""Index the agents that work on tasks of each board."""

from alembic import op
from sqlalchemy import text

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None

NAME = "ix_tasks_workers_of_boards"


def upgrade() -> None:
    where = text("status = 'in_progress'")
    op.create_index(op.f(NAME), "tasks", ["board_id", "assigned_agent_id"], postgresql_where=where)


def downgrade() -> None:
    op.drop_index(op.f(NAME), "tasks")
