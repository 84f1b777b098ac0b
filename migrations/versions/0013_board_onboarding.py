"""Create the onboarding sessions of boards."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "board_onboarding_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("session_key", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "active",
                "completed",
                "confirmed",
                "cancelled",
                name="onboardingstatus",
                native_enum=False,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "draft_goal", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('active', 'completed', 'confirmed', 'cancelled')",
            name=op.f("ck_board_onboarding_sessions_status"),
        ),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_board_onboarding_sessions_board_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_onboarding_sessions")),
    )
    op.create_index(
        op.f("ix_board_onboarding_sessions_board_id"),
        "board_onboarding_sessions",
        ["board_id"],
        unique=False,
    )
    op.create_index(
        "uq_board_onboarding_sessions_one_open",
        "board_onboarding_sessions",
        ["board_id"],
        unique=True,
        postgresql_where="status in ('active', 'completed')",
    )
    op.create_table(
        "board_onboarding_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "role",
            sa.Enum("user", "assistant", name="onboardingrole", native_enum=False, length=40),
            nullable=False,
        ),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["board_onboarding_sessions.id"],
            name=op.f("fk_board_onboarding_messages_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_onboarding_messages")),
        sa.UniqueConstraint("seq", name=op.f("uq_board_onboarding_messages_seq")),
    )
    op.create_index(
        op.f("ix_board_onboarding_messages_session_id_seq"),
        "board_onboarding_messages",
        ["session_id", "seq"],
        unique=False,
    )
