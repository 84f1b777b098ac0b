"""Store saved views of boards, and with which of them users open a board."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def reference(name: str, target: str, *, nullable: bool = False) -> sa.Column[sa.Uuid]:
    key = sa.ForeignKey(f"{target}.id", ondelete="CASCADE")
    return sa.Column(name, sa.Uuid(), key, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("board_id", "boards"),
        reference("user_id", "users", nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "uq_saved_views_name",
        "saved_views",
        ["board_id", "user_id", sa.text("lower(name)")],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_saved_views_user_id", "saved_views", ["user_id"])
    op.create_table(
        "default_views",
        sa.Column("id", sa.Uuid(), primary_key=True),
        reference("user_id", "users"),
        reference("board_id", "boards"),
        reference("view_id", "saved_views"),
        sa.UniqueConstraint("user_id", "board_id", name="uq_default_views_user_id_board_id"),
    )
    op.create_index("ix_default_views_board_id", "default_views", ["board_id"])
    op.create_index("ix_default_views_view_id", "default_views", ["view_id"])


def downgrade() -> None:
    op.drop_table("default_views")
    op.drop_table("saved_views")
