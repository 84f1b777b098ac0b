"""Create the approval policies, and store what they said about each approval."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approval_policies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("board_id", sa.Uuid(), nullable=True),
        sa.Column("rules", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_by_user_id", sa.Uuid(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_approval_policies_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["board_id"],
            ["boards.id"],
            name=op.f("fk_approval_policies_board_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["updated_by_user_id"],
            ["users.id"],
            name=op.f("fk_approval_policies_updated_by_user_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_policies")),
        sa.UniqueConstraint("board_id", name=op.f("uq_approval_policies_board_id")),
    )
    for column in (
        sa.Column("policy_verdict", postgresql.JSONB(none_as_null=True)),
        sa.Column("is_decided_by_policy", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("first_approver_id", sa.Uuid()),
        sa.Column("first_approved_at", sa.DateTime(timezone=True)),
        sa.Column("first_approval_note", sa.String()),
        sa.Column("first_approval_hash", sa.String()),
        sa.Column("first_approval_completes_tasks", sa.Boolean()),
    ):
        op.add_column("approvals", column)
    op.create_foreign_key(
        op.f("fk_approvals_first_approver_id"),
        "approvals",
        "users",
        ["first_approver_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_approvals_expires_at"), "approvals", ["expires_at"])
    op.create_index(
        "uq_approval_policies_organization_id",
        "approval_policies",
        ["organization_id"],
        unique=True,
        postgresql_where=sa.text("board_id is null"),
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_approvals_expires_at"), "approvals")
    for name in (
        "first_approval_completes_tasks",
        "first_approval_hash",
        "first_approval_note",
        "first_approved_at",
        "first_approver_id",
        "is_decided_by_policy",
        "policy_verdict",
    ):
        op.drop_column("approvals", name)
    op.drop_table("approval_policies")
