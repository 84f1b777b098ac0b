"""Store incoming webhooks of boards, and their payloads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "board_webhooks",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("board_id", "boards", "CASCADE"),
        reference("agent_id", "agents", "SET NULL", nullable=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("encrypted_secret", sa.String(), nullable=False),
        sa.Column("encrypted_previous_secret", sa.String()),
        sa.Column("previous_secret_expires_at", TIME),
        sa.Column("signature_header", sa.String()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
    )
    create_index("board_webhooks", "board_id", "created_at")
    create_index("board_webhooks", "agent_id")
    op.create_table(
        "board_webhook_payloads",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("board_id", "boards", "CASCADE"),
        reference("webhook_id", "board_webhooks", "CASCADE"),
        sa.Column("delivery_id", sa.String()),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("source_ip", sa.String(), nullable=False),
        sa.Column("content_type", sa.String()),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("error", sa.String()),
        sa.Column("note_id", sa.Uuid()),
        sa.Column("task_id", sa.Uuid()),
        reference("message_id", "agent_messages", "SET NULL", nullable=True),
        sa.UniqueConstraint(
            "webhook_id", "delivery_id", name="uq_board_webhook_payloads_webhook_id_delivery_id"
        ),
        sa.CheckConstraint(
            "state <> 'failed' or error is not null", name="ck_board_webhook_payloads_error"
        ),
    )
    create_index("board_webhook_payloads", "board_id")
    create_index("board_webhook_payloads", "webhook_id", "received_at")
    create_index("board_webhook_payloads", "received_at")
    create_index("board_webhook_payloads", "message_id")


def reference(
    name: str, target: str, on_delete: str, *, nullable: bool = False
) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete=on_delete)
    return sa.Column(name, sa.Uuid(), key, nullable=nullable)


def create_index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, [*columns])


def downgrade() -> None:
    op.drop_table("board_webhook_payloads")
    op.drop_table("board_webhooks")
