"""Create the pending cleanups of deleted gateways."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_departures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("allow_insecure_tls", sa.Boolean(), nullable=False),
        sa.Column("disable_device_pairing", sa.Boolean(), nullable=False),
        sa.Column("sealed_token", sa.String(), nullable=True),
        sa.Column("sealed_device", sa.String(), nullable=False),
        sa.Column("sealed_device_token", sa.String(), nullable=True),
        sa.Column("agent_keys", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_departures")),
    )
