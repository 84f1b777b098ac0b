"""Create the table in which servers check that the database accepts writes."""

import sqlalchemy as sa
from alembic import op

revision = "0086"
down_revision = "0085"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_checks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_checks")),
    )
    # Neither compressed nor moved to another table, so that a long content needs a new page.
    op.execute("alter table write_checks alter column content set storage plain")


def downgrade() -> None:
    op.drop_table("write_checks")
