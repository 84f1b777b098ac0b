"""Store the boards that users have pinned and opened, and index boards by what lists need.

A user begins with the boards whose comments, chat or approvals they have read last.
"""

import sqlalchemy as sa
from alembic import op

revision = "0093"
down_revision = "0092"
branch_labels = None
depends_on = None

SECTIONS = ("pinned_boards_collapsed", "recent_boards_collapsed")
OPENED_BEFORE = """
    insert into board_shortcuts (id, user_id, board_id, opened_at)
    select gen_random_uuid(), user_id, board_id, max(seen_at)
    from read_markers group by user_id, board_id
"""


def upgrade() -> None:
    op.create_table(
        "board_shortcuts",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column(
            "user_id", sa.Uuid(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column(
            "board_id", sa.Uuid(), sa.ForeignKey("boards.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("pin_position", sa.Integer()),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("user_id", "board_id", name="uq_board_shortcuts_user_id_board_id"),
        sa.CheckConstraint(
            "pin_position is not null or opened_at is not null",
            name=op.f("ck_board_shortcuts_reason"),
        ),
    )
    op.create_index("ix_board_shortcuts_board_id", "board_shortcuts", ["board_id"])
    op.create_index(
        "ix_board_shortcuts_user_id_opened_at", "board_shortcuts", ["user_id", "opened_at"]
    )
    op.execute(OPENED_BEFORE)
    for name in SECTIONS:
        column = sa.Column(name, sa.Boolean(), server_default="false", nullable=False)
        op.add_column("users", column)
    op.create_index(
        "ix_boards_names",
        "boards",
        ["organization_id", sa.text("lower(name)"), sa.text("created_at desc"), "id"],
    )
    op.create_index(
        "ix_board_counts_undecided",
        "board_counts",
        ["board_id"],
        postgresql_where=sa.text("undecided_approvals > 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_board_counts_undecided", "board_counts")
    op.drop_index("ix_boards_names", "boards")
    for name in reversed(SECTIONS):
        op.drop_column("users", name)
    op.drop_table("board_shortcuts")
