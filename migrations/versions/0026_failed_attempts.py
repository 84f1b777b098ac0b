"""Create the counts of failed attempts to authenticate."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "failed_attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_attempts")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_failed_attempts_key_hash")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(op.f("ix_failed_attempts_updated_at"), "failed_attempts", ["updated_at"])


def downgrade() -> None:
    op.drop_table("failed_attempts")
