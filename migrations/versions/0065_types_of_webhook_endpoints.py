"""Remove an event type from webhook endpoints that nothing records any more.

An endpoint that receives no other type keeps it, because an empty list means all types.
"""

from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE webhook_endpoints SET event_types = event_types - 'approval.reopened'
        WHERE event_types @> '["approval.reopened"]' AND jsonb_array_length(event_types) > 1
        """
    )


def downgrade() -> None:
    pass
