"""Store when and why a webhook of a board has last rejected a request."""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("board_webhooks", sa.Column("last_rejected_at", sa.DateTime(timezone=True)))
    op.add_column("board_webhooks", sa.Column("last_rejection", sa.String()))


def downgrade() -> None:
    op.drop_column("board_webhooks", "last_rejection")
    op.drop_column("board_webhooks", "last_rejected_at")
