"""Store when the next heartbeat message of an agent on a gateway is due."""

import sqlalchemy as sa
from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agents", sa.Column("next_heartbeat_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("agents", "next_heartbeat_at")
