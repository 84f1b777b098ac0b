"""Let users watch tasks, and find tasks of people by their due dates.

Authors, people who commented, and assignees watch their tasks from the beginning.
"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def reference(name: str, target: str) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Uuid(), key, nullable=False)


def upgrade() -> None:
    op.create_table(
        "task_watchers",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("task_id", "tasks"),
        reference("user_id", "users"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("task_id", "user_id", name="uq_task_watchers_task_id_user_id"),
    )
    op.create_index("ix_task_watchers_user_id", "task_watchers", ["user_id"])
    op.execute(
        """
        insert into task_watchers (id, task_id, user_id, created_at)
        select gen_random_uuid(), task_id, user_id, now() from (
            select id as task_id, created_by_user_id as user_id from tasks
            union select id, assigned_user_id from tasks
            union select task_id, user_id from task_comments
        ) concerned where user_id is not null
        """
    )
    op.create_index(
        "ix_tasks_due_of_people",
        "tasks",
        ["due_at"],
        postgresql_where=sa.text("assigned_user_id is not null and status <> 'done'"),
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_due_of_people", "tasks")
    op.drop_table("task_watchers")
