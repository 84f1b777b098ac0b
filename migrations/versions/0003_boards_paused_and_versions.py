"""Add the pause and the version of boards."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("boards", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("boards", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
