"""Create the memory of boards and board groups."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "board_group_memory",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("board_group_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column(
            "tags", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("is_chat", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("agent_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["board_group_id"],
            ["board_groups.id"],
            name=op.f("fk_board_group_memory_board_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_group_memory")),
    )
    op.create_index(
        op.f("ix_board_group_memory_board_group_id"),
        "board_group_memory",
        ["board_group_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_board_group_memory_board_group_id_is_chat_created_at"),
        "board_group_memory",
        ["board_group_id", "is_chat", "created_at"],
        unique=False,
    )
    op.add_column(
        "board_memory", sa.Column("version", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column(
        "board_memory", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.execute("update board_memory set updated_at = created_at")
    op.alter_column("board_memory", "updated_at", nullable=False)
    op.create_index(
        op.f("ix_board_memory_board_id_is_chat_created_at"),
        "board_memory",
        ["board_id", "is_chat", "created_at"],
        unique=False,
    )
