"""Store who stopped the agents of an organization, and which agents a circuit breaker holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment, json = sa.DateTime(timezone=True), postgresql.JSONB()
    op.add_column("organizations", sa.Column("stopped_at", moment))
    op.add_column("organizations", sa.Column("stopped_by_user_id", sa.Uuid()))
    op.add_column("organizations", sa.Column("stopped_by", sa.String()))
    op.add_column("organizations", sa.Column("stop_reason", sa.String()))
    op.add_column("agents", sa.Column("held_at", moment))
    op.add_column("agents", sa.Column("hold", json))
    op.add_column("agents", sa.Column("released_at", moment))
    op.create_check_constraint(
        op.f("ck_agents_hold"), "agents", "(held_at is null) = (hold is null)"
    )
    op.create_index(
        op.f("ix_agent_messages_agent_id_created_at"), "agent_messages", ["agent_id", "created_at"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_agent_messages_agent_id_created_at"), table_name="agent_messages")
    for name in ("released_at", "hold", "held_at"):
        op.drop_column("agents", name)
    for name in ("stop_reason", "stopped_by", "stopped_by_user_id", "stopped_at"):
        op.drop_column("organizations", name)
