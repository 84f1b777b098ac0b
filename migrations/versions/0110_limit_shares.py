"""Add the shares of limits that processes have claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0110"
down_revision = "0109"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "limit_shares",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_limit_shares"),
        sa.UniqueConstraint("key_hash", "process_id", name="uq_limit_shares_key_hash_process_id"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_limit_shares_expires_at", "limit_shares", ["expires_at"])
