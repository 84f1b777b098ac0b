"""Let organizations decide that only owners appoint admins."""

import sqlalchemy as sa
from alembic import op

revision = "0084"
down_revision = "0083"
branch_labels = None
depends_on = None


def upgrade() -> None:
    setting = sa.Column(
        "only_owners_appoint_admins", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("organizations", setting)


def downgrade() -> None:
    op.drop_column("organizations", "only_owners_appoint_admins")
