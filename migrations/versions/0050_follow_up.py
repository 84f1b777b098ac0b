"""Follow up tasks on which nothing happens, and approvals that nobody decides."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

MINUTES = {"stale_after_minutes": "240", "remind_after_minutes": "60"}


def upgrade() -> None:
    for name, default in MINUTES.items():
        op.add_column("boards", sa.Column(name, sa.Integer(), server_default=sa.text(default)))
    for name in ("stale_since", "stale_notified_at"):
        op.add_column("tasks", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("approvals", sa.Column("reminded_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_tasks_in_progress",
        "tasks",
        ["updated_at"],
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "ix_tasks_stale",
        "tasks",
        ["board_id"],
        postgresql_where=sa.text("stale_since is not null"),
    )
    # What waits since before the update is not new: nobody is woken or notified because of it.
    op.execute(
        "update tasks set stale_since = now(), stale_notified_at = now() "
        "where status = 'in_progress' and updated_at < now() - interval '240 minutes'"
    )
    op.execute("update approvals set reminded_at = now() where status = 'pending'")


def downgrade() -> None:
    for name in ("ix_tasks_stale", "ix_tasks_in_progress"):
        op.drop_index(name, "tasks")
    op.drop_column("approvals", "reminded_at")
    for name in ("stale_since", "stale_notified_at"):
        op.drop_column("tasks", name)
    for name in MINUTES:
        op.drop_column("boards", name)
