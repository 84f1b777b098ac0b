"""Index the undecided approvals for the inbox, and those that not everybody may approve."""

from alembic import op
from sqlalchemy import text

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None

INDEX, RESTRICTED_INDEX = "ix_approvals_undecided", "ix_approvals_undecided_restricted"
UNDECIDED = "status = 'pending' and decided_status is null"
RESTRICTED = "(policy_verdict is not null or first_approver_id is not null)"


def upgrade() -> None:
    op.create_index(
        INDEX, "approvals", ["board_id", "created_at", "id"], postgresql_where=text(UNDECIDED)
    )
    op.create_index(
        RESTRICTED_INDEX,
        "approvals",
        ["board_id"],
        postgresql_where=text(f"{UNDECIDED} and {RESTRICTED}"),
    )


def downgrade() -> None:
    op.drop_index(RESTRICTED_INDEX, "approvals")
    op.drop_index(INDEX, "approvals")
