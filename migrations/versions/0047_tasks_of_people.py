"""Assign tasks to people.

A task has one assignee: an agent or a person.
"""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("assigned_user_id", sa.Uuid()))
    op.create_foreign_key(
        "fk_tasks_assigned_user_id_users",
        "tasks",
        "users",
        ["assigned_user_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index("ix_tasks_assigned_user_id", "tasks", ["assigned_user_id"])
    op.create_check_constraint(
        op.f("ck_tasks_one_assignee"),
        "tasks",
        "assigned_agent_id is null or assigned_user_id is null",
    )


def downgrade() -> None:
    op.drop_column("tasks", "assigned_user_id")
