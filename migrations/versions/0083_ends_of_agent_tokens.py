"""Let tokens of agents end."""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    end = sa.DateTime(timezone=True)
    op.add_column("agent_tokens", sa.Column("expires_at", end, nullable=True))
    op.add_column("agents", sa.Column("token_expires_at", end, nullable=True))
    op.add_column("agents", sa.Column("token_days", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("agents", "token_days")
    op.drop_column("agents", "token_expires_at")
    op.drop_column("agent_tokens", "expires_at")
