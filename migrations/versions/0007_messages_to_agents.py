"""Create the outbox of messages to agents."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("approval_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("deliver", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("from_agent_id", sa.Uuid(), nullable=True),
        sa.Column("from_user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "told_as", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "sent",
                "acknowledged",
                "failed",
                name="messagestate",
                native_enum=False,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'failed') = (last_error is not null)",
            name=op.f("ck_agent_messages_last_error"),
        ),
        sa.CheckConstraint(
            "state in ('queued', 'sent', 'acknowledged', 'failed')",
            name=op.f("ck_agent_messages_state"),
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_messages_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["board_id"], ["boards.id"], name=op.f("fk_agent_messages_board_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_agent_messages_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_messages")),
        sa.UniqueConstraint("agent_id", "key", name=op.f("uq_agent_messages_agent_id_key")),
        sa.UniqueConstraint("seq", name=op.f("uq_agent_messages_seq")),
    )
    op.create_index(
        op.f("ix_agent_messages_agent_id_state_seq"),
        "agent_messages",
        ["agent_id", "state", "seq"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_messages_board_id"), "agent_messages", ["board_id"], unique=False
    )
    op.create_index(
        op.f("ix_agent_messages_organization_id"),
        "agent_messages",
        ["organization_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_agent_messages_state_next_try_at"),
        "agent_messages",
        ["state", "next_try_at"],
        unique=False,
    )
