"""Store the removal from an organization that a user has not read about yet."""

import sqlalchemy as sa
from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("removal_event_id", sa.Uuid()))


def downgrade() -> None:
    op.drop_column("users", "removal_event_id")
