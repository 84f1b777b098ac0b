"""Let a webhook of a board accept unsigned deliveries, and mark these."""

import sqlalchemy as sa
from alembic import op

revision = "0113"
down_revision = "0112"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "board_webhooks",
        sa.Column("allows_unsigned", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "board_webhook_payloads",
        sa.Column("is_signed", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
