"""Let webhooks create and link tasks, by a template or by what a code host reports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    action = sa.Column("action", sa.String(length=40), nullable=False, server_default="notify")
    op.add_column("board_webhooks", action)
    op.add_column("board_webhooks", sa.Column("template", JSONB()))


def downgrade() -> None:
    op.drop_column("board_webhooks", "template")
    op.drop_column("board_webhooks", "action")
