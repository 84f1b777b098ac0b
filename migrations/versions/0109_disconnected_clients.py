"""Store when the settings of a client were restored, so that it asks no more."""

import sqlalchemy as sa
from alembic import op

revision = "0109"
down_revision = "0108"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("client_connections", sa.Column("disconnected_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("client_connections", "disconnected_at")
