"""Create the read markers and the presence of users."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KIND = sa.Enum("comments", "chat", "approvals", name="readkind", native_enum=False, length=40)


def upgrade() -> None:
    op.create_table(
        "read_markers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True),
        sa.Column("seen_seq", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        *[_gone_with("read_markers", one) for one in ("user_id", "board_id", "task_id")],
        sa.PrimaryKeyConstraint("id", name=op.f("pk_read_markers")),
        sa.UniqueConstraint(
            *("user_id", "board_id", "kind", "task_id"),
            name="uq_read_markers_one_each",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_read_markers_board_id"), "read_markers", ["board_id"])
    op.create_index(op.f("ix_read_markers_task_id"), "read_markers", ["task_id"])
    op.create_table(
        "presences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        *[_gone_with("presences", one) for one in ("board_id", "user_id")],
        sa.PrimaryKeyConstraint("id", name=op.f("pk_presences")),
        sa.UniqueConstraint("board_id", "user_id", name=op.f("uq_presences_board_id_user_id")),
    )
    op.create_index(op.f("ix_presences_user_id"), "presences", ["user_id"])


def _gone_with(table: str, column: str) -> sa.ForeignKeyConstraint:
    other = f"{column.removesuffix('_id')}s"
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete="CASCADE")
