"""Store why the last attempt of a provisioning step failed, while it is retried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agents", sa.Column("step_error", JSONB(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("agents", "step_error")
