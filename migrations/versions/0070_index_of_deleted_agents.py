"""Index the deletions of agents by agent: lists show the names of deleted agents."""

from alembic import op
from sqlalchemy import text

revision = "0070"
down_revision = "0069"
branch_labels = None
depends_on = None

INDEX = "ix_activity_events_agent_deletions"


def upgrade() -> None:
    op.create_index(
        INDEX,
        "activity_events",
        ["agent_id", "seq"],
        postgresql_where=text("(type || '') = 'agent.deleted'"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, "activity_events")
