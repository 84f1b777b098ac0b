"""Store the note of a decision that was undone with its approval, for the user who made it."""

import sqlalchemy as sa
from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

USER_COLUMN = "undone_by_user_id"


def upgrade() -> None:
    user_key = sa.ForeignKey("users.id", ondelete="SET NULL", name="fk_approvals_undone_by_user_id")
    op.add_column("approvals", sa.Column(USER_COLUMN, sa.Uuid(), user_key))
    op.add_column("approvals", sa.Column("undone_status", sa.String()))
    op.add_column("approvals", sa.Column("undone_note", sa.String()))
    op.create_index(
        "ix_approvals_undone_by_user_id",
        "approvals",
        [USER_COLUMN],
        postgresql_where=sa.text("undone_by_user_id is not null"),  # which is rare
    )


def downgrade() -> None:
    op.drop_index("ix_approvals_undone_by_user_id", "approvals")
    for name in (USER_COLUMN, "undone_status", "undone_note"):
        op.drop_column("approvals", name)
