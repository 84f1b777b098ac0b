"""Index what the list of webhooks shows of the deliveries of each."""

from alembic import op
from sqlalchemy import text

revision = "0099"
down_revision = "0098"
branch_labels = None
depends_on = None

TABLE = "webhook_deliveries"
INDEXES = (
    ("ix_webhook_deliveries_not_delivered", "state", "state <> 'delivered'"),
    ("ix_webhook_deliveries_delivered", "delivered_at", "delivered_at IS NOT NULL"),
)


def upgrade() -> None:
    for name, column, condition in INDEXES:
        where = text(condition)
        op.create_index(op.f(name), TABLE, ["endpoint_id", column], postgresql_where=where)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(op.f(name), TABLE)
