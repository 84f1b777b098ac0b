"""Find the notifications and tests that are purged by an index; name invitations by address."""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    done_at = sa.text("least(read_at, resolved_at)")
    op.create_index("ix_notifications_done", "notifications", [done_at])
    op.create_index("ix_notifications_updated_at", "notifications", ["updated_at"])
    op.create_index(
        "ix_notification_deliveries_tests",
        "notification_deliveries",
        ["created_at"],
        postgresql_where=sa.text("notification_id is null"),
    )
    op.execute(
        """
        update notifications set key = organization_id || ':' || lower(users.email)
        from users where users.id = notifications.user_id
        and notifications.kind = 'invitation' and notifications.key = organization_id::text
        """
    )


def downgrade() -> None:
    op.execute(
        "update notifications set key = organization_id::text"
        " where kind = 'invitation' and key is not null"
    )
    op.drop_index("ix_notification_deliveries_tests", "notification_deliveries")
    op.drop_index("ix_notifications_updated_at", "notifications")
    op.drop_index("ix_notifications_done", "notifications")
