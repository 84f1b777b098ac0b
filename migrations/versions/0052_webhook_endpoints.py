"""Store outgoing webhooks of organizations, and their deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def time(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def reference(name: str, target: str) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Uuid(), key, nullable=False)


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("organization_id", "organizations"),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("event_types", JSONB(none_as_null=True), nullable=False),
        sa.Column("board_ids", JSONB(none_as_null=True), nullable=False),
        sa.Column("encrypted_secret", sa.String(), nullable=False),
        sa.Column("encrypted_previous_secret", sa.String()),
        time("previous_secret_expires_at"),
        sa.Column("state", sa.String(40), nullable=False),
        time("failing_since"),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        time("created_at", nullable=False),
        time("updated_at", nullable=False),
    )
    op.create_index(
        "ix_webhook_endpoints_organization_id", "webhook_endpoints", ["organization_id"]
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("endpoint_id", "webhook_endpoints"),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("event_id", sa.Uuid()),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("payload", sa.String(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries_left", sa.Integer(), nullable=False),
        time("next_attempt_at"),
        time("last_attempt_at"),
        sa.Column("outcome", sa.String()),
        sa.Column("status", sa.Integer()),
        sa.Column("detail", sa.String()),
        sa.Column("response", sa.String()),
        sa.Column("duration_ms", sa.Integer()),
        time("created_at", nullable=False),
        time("delivered_at"),
        sa.UniqueConstraint(
            "endpoint_id", "event_id", name="uq_webhook_deliveries_endpoint_id_event_id"
        ),
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_number", "webhook_deliveries", ["endpoint_id", "number"]
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index("ix_webhook_deliveries_created_at", "webhook_deliveries", ["created_at"])


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
