"""Store the last decision about an approval that counts no longer."""

import sqlalchemy as sa
from alembic import op

revision = "0080"
down_revision = "0079"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("approvals", sa.Column("lapsed_status", sa.String(), nullable=True))
    op.add_column("approvals", sa.Column("lapsed_user_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_approvals_lapsed_user_id_users"),
        "approvals",
        "users",
        ["lapsed_user_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(
        "ix_approvals_lapsed_user_id",
        "approvals",
        ["lapsed_user_id"],
        postgresql_where="lapsed_user_id is not null",
    )


def downgrade() -> None:
    op.drop_column("approvals", "lapsed_user_id")
    op.drop_column("approvals", "lapsed_status")
