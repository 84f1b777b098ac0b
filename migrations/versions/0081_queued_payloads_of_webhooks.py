"""Mark the payloads of webhooks whose agent is told of them later, together with others."""

import sqlalchemy as sa
from alembic import op

revision = "0081"
down_revision = "0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "board_webhook_payloads",
        sa.Column("is_queued", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(
        "ix_board_webhook_payloads_queued",
        "board_webhook_payloads",
        ["webhook_id", "received_at", "id"],
        postgresql_where="is_queued",
    )


def downgrade() -> None:
    op.drop_column("board_webhook_payloads", "is_queued")
