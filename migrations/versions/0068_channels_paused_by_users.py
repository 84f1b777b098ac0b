"""Store whether a channel was paused by its user, or because its subscription has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_paused = sa.Column(
        "is_paused_by_user", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("notification_channels", is_paused)
    # The user has also paused those whose subscription ended later.
    op.execute("""
        update notification_channels set is_paused_by_user = true
        where paused_at is not null
            and (last_error is distinct from 'subscription_ended' or paused_at < failing_since)
    """)


def downgrade() -> None:
    op.drop_column("notification_channels", "is_paused_by_user")
