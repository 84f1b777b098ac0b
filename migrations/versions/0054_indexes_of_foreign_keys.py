"""Index the foreign keys that had none: deleting a user or an organization read whole tables."""

from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

COLUMNS = [
    ("approval_policies", "organization_id"),
    ("approval_policies", "updated_by_user_id"),
    ("approvals", "decided_by_user_id"),
    ("approvals", "first_approver_id"),
    ("approvals", "requested_by_user_id"),
    ("task_comments", "user_id"),
]


def upgrade() -> None:
    for table, column in COLUMNS:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table, column in COLUMNS:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
