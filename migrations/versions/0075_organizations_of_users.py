"""Let users work in one of their organizations: until now a page or a call has stored it."""

from alembic import op

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        update users set active_organization_id = (
            select members.organization_id from organization_members as members
            where members.user_id = users.id order by members.created_at, members.id limit 1
        )
        where not exists (
            select from organization_members as members
            where members.user_id = users.id
            and members.organization_id = users.active_organization_id
        )
    """)


def downgrade() -> None:
    """Change nothing: the older version accepts each value."""
