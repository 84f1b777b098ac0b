"""Index the open tasks of a person by due date, as the page "My tasks" lists them."""

from alembic import op
from sqlalchemy import text

revision = "0101"
down_revision = "0100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = text("assigned_user_id is not null and status <> 'done'")
    columns = ["assigned_user_id", "due_at"]
    op.create_index(op.f("ix_tasks_of_people"), "tasks", columns, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(op.f("ix_tasks_of_people"), "tasks")
