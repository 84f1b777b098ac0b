"""Store the risk of an approval, and the hash by which equal requests are found."""

import sqlalchemy as sa
from alembic import op

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("approvals", sa.Column("risk", sa.String(), nullable=True))
    op.add_column("approvals", sa.Column("equality_hash", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("approvals", "equality_hash")
    op.drop_column("approvals", "risk")
