"""Let the decider of an approval complete its tasks with the same decision."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "approvals",
        sa.Column("moves_tasks_to_done", sa.Boolean(), server_default="false", nullable=False),
    )
    op.add_column("approvals", sa.Column("completion_error", sa.String()))


def downgrade() -> None:
    op.drop_column("approvals", "completion_error")
    op.drop_column("approvals", "moves_tasks_to_done")
